"""What an EST server wants to see in a request: the answer of /csrattrs (RFC 7030 section 4.5.2, RFC 8951, RFC 9908)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self

from device_sdk.errors import WireError
from device_sdk.model.keys import KeyType, PublicKey
from device_sdk.wire import csrattrs_oids as oids
from device_sdk.wire.csrattrs_asn1 import (
    Element,
    WantedExtension,
    integer_value,
    oid_value,
    read_elements,
    read_extensions,
)
from device_sdk.wire.csrattrs_key import (
    KeyWish,
    SignatureWish,
    contradiction,
    key_types_for,
    one_key,
    one_signature,
    require_fit,
)
from device_sdk.wire.csrattrs_pdu import PKCS7_PDU, read_pdu
from device_sdk.wire.csrattrs_template import SubjectPart, Template, read_template


@dataclass(frozen=True)
class CsrAttributes:
    """The server's wishes. Reading fails only on bad syntax; contradictions come out when a wish is acted on.

    Attributes:
        elements: the list as received, unknown entries included (EST-172).
        keys: every key type asked for; `required_key_types` makes one answer of them.
        signatures: every signature scheme or hash asked for.
        challenges: OIDs of the challenge attributes listed (challengePassword and those of RFC 7894).
        wants_mac: the macAddress is asked for.
        extensions: extensions to copy into the request, or to fill in (EST-176, EST-183).
        subject_types: subject attributes asked for by bare OID.
        subject: the whole subject asked for by a template; None for no wish.
        unknown: entries that mean nothing to this SDK.
    """

    elements: tuple[Element, ...] = field(default=(), repr=False)
    keys: tuple[KeyWish, ...] = ()
    signatures: tuple[SignatureWish, ...] = ()
    challenges: tuple[str, ...] = ()
    wants_mac: bool = False
    extensions: tuple[WantedExtension, ...] = ()
    subject_types: tuple[str, ...] = ()
    subject: tuple[SubjectPart, ...] | None = None
    unknown: tuple[Element, ...] = field(default=(), repr=False)

    @classmethod
    def none(cls) -> Self:
        """No wishes: 204, 404 or an empty list (EST-171)."""
        return cls()

    @classmethod
    def from_bytes(cls, der: bytes) -> Self:
        """Read CsrAttrs (DER or BER). A template, where there is one, replaces everything else (EST-181).

        That of RFC 9908 counts before that of RFC 8295, appendix B (N-06).

        Raises:
            WireError: not a CsrAttrs; what is in it is only listed, not judged.
        """
        elements = read_elements(der)
        templates = [element for element in elements if element.oid == oids.TEMPLATE and not element.bare]
        if len(templates) > 1:
            raise WireError("more than one CSR template", what="CsrAttrs")
        template = read_template(templates[0]) if templates else _older_template(elements)
        if template is None:
            return replace(cls._of(elements), elements=elements)
        wishes = cls._of(template.elements)
        keys = wishes.keys if template.key is None else (template.key, *wishes.keys)
        return replace(wishes, elements=elements, keys=keys, subject=template.subject)

    @property
    def wants_binding(self) -> bool:
        """The request has to be bound to the TLS connection (EST-92, EST-104)."""
        return oids.CHALLENGE_PASSWORD in self.challenges or oids.EST_IDENTITY_LINKING in self.challenges

    def required_key_types(self) -> tuple[KeyType, ...] | None:
        """The key types that satisfy the server; None if it does not care.

        Raises:
            CsrAttributesError: contradictory wishes, both named (EST-178); wishes below policy (EST-179); a type,
                curve or size that this SDK does not make.
        """
        wish = self._key_wish()
        return None if wish is None else key_types_for(wish)

    def check_key(self, public_key: PublicKey) -> None:
        """Hold a key against the wishes.

        Raises:
            CsrAttributesError: the key is of another type than asked for, and whether it is used all the same is the
                caller's decision (`without_key_wishes`); or the wishes themselves cannot be met.
        """
        wish = self._key_wish()
        if wish is not None:
            require_fit(wish, public_key)

    def signature(self) -> SignatureWish | None:
        """How the request is to be signed; None for the key's own way.

        Raises:
            CsrAttributesError: contradictory wishes, or wishes below policy.
        """
        return one_signature(self.signatures)

    def without_key_wishes(self) -> Self:
        """The same without key and signature: for a key that is fixed whatever the server says (EST-178)."""
        return replace(self, keys=(), signatures=())

    def without_challenges(self) -> Self:
        """The same without the wish for channel binding and passwords, which no certificate shows."""
        return replace(self, challenges=())

    def without_binding(self) -> Self:
        """The same without the wish for channel binding, for a request that goes by way of a registration authority."""
        binding = (oids.CHALLENGE_PASSWORD, oids.EST_IDENTITY_LINKING)
        return replace(self, challenges=tuple(oid for oid in self.challenges if oid not in binding))

    def _key_wish(self) -> KeyWish | None:
        wish, signature = one_key(self.keys), self.signature()
        if signature is None or signature.family is None:
            return wish
        if wish is not None and wish.family != signature.family:
            raise contradiction(str(wish), signature.name)
        return wish or KeyWish(signature.family)

    @classmethod
    def _of(cls, elements: Iterable[Element]) -> Self:
        collected = _Collector()
        for element in elements:
            collected.add(element)
        return cls(
            keys=tuple(collected.keys),
            signatures=tuple(collected.signatures),
            challenges=tuple(dict.fromkeys(collected.challenges)),
            wants_mac=collected.wants_mac,
            extensions=tuple(collected.extensions or ()),
            subject_types=tuple(dict.fromkeys(collected.subject_types)),
            unknown=tuple(collected.unknown),
        )


def _older_template(elements: tuple[Element, ...]) -> Template | None:
    found = [element for element in elements if element.oid == PKCS7_PDU and not element.bare]
    if len(found) > 1:
        raise WireError("more than one CSR template", what="CsrAttrs")
    return read_pdu(found[0]) if found else None


class _Collector:
    """Sorts elements by what they mean."""

    def __init__(self) -> None:
        self.keys: list[KeyWish] = []
        self.signatures: list[SignatureWish] = []
        self.challenges: list[str] = []
        self.wants_mac = False
        self.extensions: tuple[WantedExtension, ...] | None = None
        self.subject_types: list[str] = []
        self.unknown: list[Element] = []

    def add(self, element: Element) -> None:
        oid = element.oid
        if oid in oids.KEY_TYPES:
            self.keys.extend(_key_wishes(element))
        elif oids.curve_name(oid):
            self.keys.append(KeyWish("ec", oid))
        elif oid in oids.SIGNATURES:
            name, family, hash_name = oids.SIGNATURES[oid]
            self.signatures.append(SignatureWish(name, family, hash_name, pss=oid == oids.RSASSA_PSS))
        elif oid in oids.CHALLENGES:
            self.challenges.append(oid)
        elif oid in (oids.EXTENSION_REQUEST, *oids.EXTENSION_REQUEST_TEMPLATE) and element.values:
            self._add_extensions(element)
        elif oid == oids.MAC_ADDRESS:
            self.wants_mac = True
        elif oids.is_name_attribute(oid):
            self.subject_types.append(oid)
        else:
            self.unknown.append(element)

    def _add_extensions(self, element: Element) -> None:
        inner = [oid_value(value) for value in element.values]
        if None not in inner:
            # RFC 7030's own example puts a bare OID where the Extensions belong (EST-177).
            for oid in inner:
                self.add(Element(str(oid)))
            return
        if self.extensions is not None:
            raise WireError("more than one extension request", what="CsrAttrs")
        self.extensions = read_extensions(element)


def _key_wishes(element: Element) -> list[KeyWish]:
    """One wish for each value of a key type, or one for the type alone."""
    family = oids.KEY_TYPES[element.oid]
    if family == "ec":
        curves = [oid_value(value) for value in element.values]
        wishes = [KeyWish("ec", curve) for curve in curves if curve]
    elif family == "rsa":
        sizes = [integer_value(value) for value in element.values]
        wishes = [KeyWish("rsa", bits=size) for size in sizes if size]
    else:
        wishes = []
    return wishes or [KeyWish(family)]
