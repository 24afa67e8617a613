"""TAMPApexUpdate, TAMPApexUpdateConfirm, and the contingency key of an apex anchor (RFC 5934 sections 4.5, 4.6 and 9)."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_sdk.wire import der
from device_sdk.wire.cms.reader import INTEGER, OCTET_STRING, SEQUENCE, PlainReader
from device_sdk.wire.cms.wrapping import KeyWrap, read_key_wrap
from device_sdk.wire.tamp.anchors import TrustAnchor, read_anchor
from device_sdk.wire.tamp.answers import StoreContents, communities_under, numbers_under, status
from device_sdk.wire.tamp.codes import TampStatus
from device_sdk.wire.tamp.extensions import Extensions
from device_sdk.wire.tamp.oids import WRAPPED_APEX_CONTINGENCY_KEY
from device_sdk.wire.tamp.reference import MessageReference, read_head, read_number
from device_sdk.wire.tamp.strict import flag, opened

_TERSE, _VERBOSE = 0x80, 0xA1
_COMMUNITIES, _NUMBERS = 0xA0, 0xA1


@dataclass(frozen=True)
class ApexUpdate:
    """Put this apex in the place of the one that is there.

    Attributes:
        reference: whom it is for, and its number.
        clear_anchors: remove all other anchors.
        clear_communities: leave all communities.
        number: after which messages of the new apex count; None takes any for its first.
        anchor: the new apex.
        terse: whether a terse answer is wanted.
    """

    reference: MessageReference
    clear_anchors: bool
    clear_communities: bool
    number: int | None
    anchor: TrustAnchor
    terse: bool = False


@dataclass(frozen=True)
class ApexUpdateConfirm:
    """What became of it.

    Attributes:
        reference: of the message.
        status: whether there is a new apex.
        contents: of the store; None for a terse answer.
    """

    reference: MessageReference
    status: TampStatus
    contents: StoreContents | None = None

    def encode(self) -> bytes:
        """DER."""
        contents = self.contents
        if contents is None:
            return der.sequence(self.reference.encoded, status(self.status, _TERSE))
        body = (
            status(self.status)
            + contents.encoded_anchors
            + communities_under(_COMMUNITIES, contents.communities)
            + numbers_under(_NUMBERS, contents.numbers)
        )
        return der.sequence(self.reference.encoded, der.tlv(_VERBOSE, body))


@dataclass(frozen=True)
class ContingencyKey:
    """ApexContingencyKey.

    Attributes:
        algorithm: DER AlgorithmIdentifier of the key wrap.
        wrap: it, or None if it is not supported.
        wrapped: the SubjectPublicKeyInfo, encrypted.
    """

    algorithm: bytes
    wrap: KeyWrap | None
    wrapped: bytes = field(repr=False)

    def opened(self, key: bytes) -> bytes | None:
        """The SubjectPublicKeyInfo; None if this is not the key, or the algorithm is not supported."""
        if self.wrap is None or len(key) != self.wrap.key_bytes:
            return None
        return self.wrap.unwrap(key, self.wrapped)


def read_apex_update(content: bytes) -> ApexUpdate:
    """Read an update of the apex.

    Raises:
        ValueError: it cannot be read.
        TampRefusedError: another version.
    """
    data = opened(content)
    terse, reference = read_head(data)
    anchors, communities = flag(data), flag(data)
    number = read_number(data) if data.next_tag == INTEGER else None
    anchor = read_anchor(data)
    data.finish()
    return ApexUpdate(reference, anchors, communities, number, anchor, terse)


def read_contingency_key(extensions: Extensions) -> ContingencyKey | None:
    """The contingency key of an apex; None if it has none, or an empty one, which only says that it is an apex (AMB-18).

    Raises:
        ValueError: it cannot be read, or one of its two parts is missing.
    """
    if WRAPPED_APEX_CONTINGENCY_KEY not in extensions:
        return None
    outer = PlainReader(extensions[WRAPPED_APEX_CONTINGENCY_KEY].value)
    data = outer.enter()
    outer.finish()
    if data.next_tag is None:
        return None
    algorithm = data.element(SEQUENCE)
    wrapped = data.octets(OCTET_STRING)
    data.finish()
    return ContingencyKey(algorithm, read_key_wrap(PlainReader(algorithm).enter()), wrapped)
