"""A trust anchor store: whom this device believes, for what, and what it is called itself (RFC 5934 section 1.3.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, unique
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.errors import TampRefusedError
from device_sdk.wire.cms.reader import PlainReader
from device_sdk.wire.content_constraints import CMS_CONTENT_CONSTRAINTS
from device_sdk.wire.tamp.anchors import TrustAnchor, read_anchor
from device_sdk.wire.tamp.answers import StoreContents
from device_sdk.wire.tamp.certificates import as_certificate
from device_sdk.wire.tamp.extensions import identity_of
from device_sdk.wire.tamp.reference import SequenceNumber

MAX_HELD = 128
MAX_REMOVED = 1024
"""Half of it for managers other than the apex, which can remove what it wants to whatever they did."""
MAX_DELEGATES = 1024
MAX_COMMUNITIES = 256
MAX_SPENT = 256


@unique
class Role(Enum):
    """What an anchor is for (T-14)."""

    APEX = "apex"
    MANAGEMENT = "management"
    IDENTITY = "identity"


@dataclass(frozen=True)
class StoreName:
    """What messages call this store (T-06).

    Attributes:
        hw_type: of the hardware module, dotted, or None.
        serial: its serial number, or None.
        uris: URIs that name it.
    """

    hw_type: str | None = None
    serial: bytes | None = None
    uris: tuple[str, ...] = ()


@dataclass(frozen=True)
class HeldAnchor:
    """An anchor in the store.

    Attributes:
        anchor: what it says.
        role: what it is for.
        number: of its last message; None takes any for its first (T-07).
        foreign: it is one of the EST service's, from /cacerts or an enrolment; kept elsewhere.
        displaces: a certificate of its key that the EST service has does not count beside it. Not so for what a manager
            added who is limited: he would take from others what he could not remove.
    """

    anchor: TrustAnchor
    role: Role
    number: int | None = None
    foreign: bool = False
    displaces: bool = True

    @property
    def identity(self) -> bytes:
        """Tells its key from others."""
        return identity_or_raw(self.anchor.public_key)

    @property
    def constrained(self) -> bool:
        """Whether it says what its key may sign (RFC 6010)."""
        return CMS_CONTENT_CONSTRAINTS.dotted_string in self.anchor.effective[1]


@dataclass(frozen=True)
class AnchorStore:
    """All of it.

    Attributes:
        anchors: the apex first, if there is one; each key once.
        name: what the store is called.
        communities: of which it is a member, dotted.
        delegates: last number of those who signed by way of a certificate, by SHA-256 of their key, hex.
        removed: SHA-256, hex, of keys that a message removed: no /cacerts brings them back. None is ever forgotten, also
            when an anchor with such a key is added: that one counts, as it says, and nothing else of its key.
        generation: counts the messages that changed something.
        spent: SHA-256, hex, of the contingency keys that signed a message that was done; none signs another.
        theirs: SHA-256, hex, of the keys that count by the EST service or would, see `with_explicit`; not kept.
    """

    anchors: tuple[HeldAnchor, ...] = ()
    name: StoreName = StoreName()
    communities: tuple[str, ...] = ()
    delegates: Mapping[str, int] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    generation: int = 0
    spent: tuple[str, ...] = ()
    theirs: frozenset[str] = frozenset()

    @property
    def apex(self) -> HeldAnchor | None:
        """The apex, if there is one."""
        return next((one for one in self.anchors if one.role is Role.APEX), None)

    @property
    def contents(self) -> StoreContents:
        """As verbose answers have it."""
        signing = [one for one in self.anchors if one.role is not Role.IDENTITY]
        numbers = [SequenceNumber(one.anchor.key_id, one.number or 0) for one in signing]
        return StoreContents([one.anchor for one in self.anchors], self.apex is not None, self.communities, numbers)

    def find(self, identity: bytes) -> HeldAnchor | None:
        """The anchor with this key."""
        return next((one for one in self.anchors if one.identity == identity), None)

    def with_anchor(self, held: HeldAnchor) -> Self:
        """The same with this anchor, in its place if one with its key is there."""
        found = self.find(held.identity)
        if found is not None:
            anchors = tuple(held if one is found else one for one in self.anchors)
        else:
            anchors = (held, *self.anchors) if held.role is Role.APEX else (*self.anchors, held)
        return replace(self, anchors=anchors)

    def without(self, gone: Iterable[HeldAnchor], *, limited: bool = False) -> Self:
        """The same without these anchors; what is or was trusted for servers stays away (see `removed`).

        Args:
            gone: they.
            limited: whoever removes them is limited: what he or his like added he takes back, and nothing else with it.
        """
        gone = tuple(gone)
        forever = [one for one in gone if one.foreign or ((one.displaces or not limited) and self._for_servers(one))]
        removed = tuple(dict.fromkeys((*self.removed, *(digest(one.identity) for one in forever))))
        return replace(self, anchors=tuple(one for one in self.anchors if one not in gone), removed=removed)

    def forgiving(self, identities: Iterable[bytes]) -> Self:
        """The same, and what was removed of these keys is forgotten: the device's owner says so, never a message."""
        named = {digest(one) for one in identities}
        return replace(self, removed=tuple(one for one in self.removed if one not in named))

    def with_explicit(self, certificates: Iterable[x509.Certificate]) -> Self:
        """The same with the Explicit trust anchors of the EST service, as far as they count: the store is theirs, too."""
        certificates = tuple(certificates)
        kept = [self._foreign(one) for one in self.explicit(certificates)]
        held = {one.identity for one in self.anchors}
        return replace(
            self,
            anchors=(*self.anchors, *(one for one in kept if one and one.identity not in held)),
            theirs=frozenset(digest(identity_of_certificate(one)) for one in certificates),
        )

    def explicit(self, certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
        """Whom to trust for servers: the identity anchors, and these as far as no message is against it.

        Args:
            certificates: the Explicit trust anchors as the EST service has them.
        """
        removed = set(self.removed)
        theirs = [one for one in self.unmanaged(certificates) if digest(identity_of_certificate(one)) not in removed]
        return tuple(dict.fromkeys((*theirs, *self.certificates(Role.IDENTITY))))

    def unmanaged(self, certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
        """Those in whose place no anchor of a message is."""
        held = {one.identity for one in self.anchors if one.displaces and not one.foreign}
        return tuple(one for one in certificates if identity_of_certificate(one) not in held)

    def certificates(self, *roles: Role) -> tuple[x509.Certificate, ...]:
        """The anchors of these roles below which there may be paths, as certificates; not those of the EST service."""
        found = (as_certificate(one.anchor) for one in self.anchors if one.role in roles and not one.foreign)
        return tuple(one for one in found if one is not None)

    def _for_servers(self, one: HeldAnchor) -> bool:
        return one.role is Role.IDENTITY or digest(one.identity) in self.theirs

    def _foreign(self, certificate: x509.Certificate) -> HeldAnchor | None:
        """Certificates that RFC 5914 has no place for (an empty name) are left out of answers."""
        try:
            anchor = read_anchor(PlainReader(certificate.public_bytes(Encoding.DER)))
        except ValueError:
            return None
        return HeldAnchor(anchor, Role.IDENTITY, foreign=True)


def identity_of_certificate(certificate: x509.Certificate) -> bytes:
    """What tells the key of a certificate from others."""
    reader = PlainReader(certificate.tbs_certificate_bytes).enter()
    reader.skip(0xA0)
    for _ in range(5):
        reader.element()
    return identity_or_raw(reader.element())


def identity_or_raw(public_key: bytes) -> bytes:
    """What tells a public key from others, be it one that is used here or not."""
    try:
        return identity_of(public_key)
    except TampRefusedError:
        return public_key


def digest(identity: bytes) -> str:
    """SHA-256 of a key, hex."""
    return hashlib.sha256(identity).hexdigest()
