"""What answers have in common: they repeat the reference (TR-04), then say how it went or what there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from device_sdk.wire import der
from device_sdk.wire.cms.reader import Reader
from device_sdk.wire.tamp.anchors import TrustAnchor
from device_sdk.wire.tamp.codes import TampStatus
from device_sdk.wire.tamp.reference import SequenceNumber
from device_sdk.wire.tamp.strict import BOOLEAN, ENUMERATED, opened

_VERSION = 0x80


@dataclass(frozen=True)
class StoreContents:
    """What verbose confirmations say of the store after the message.

    Attributes:
        anchors: all of them, the apex first.
        apex: whether the first is the apex.
        communities: of which the store is a member.
        numbers: of the anchors that may sign.
    """

    anchors: Sequence[TrustAnchor]
    apex: bool = True
    communities: Sequence[str] = ()
    numbers: Sequence[SequenceNumber] = ()

    @property
    def encoded_anchors(self) -> bytes:
        """DER of a TrustAnchorChoiceList."""
        return der.sequence(*(one.encoded for one in self.anchors))


def status(code: TampStatus, tag: int = ENUMERATED) -> bytes:
    """DER of a StatusCode."""
    return der.tlv(tag, bytes([code]))


def statuses(codes: Iterable[TampStatus]) -> bytes:
    """The contents of a StatusCodeList."""
    return b"".join(status(one) for one in codes)


def uses_apex(apex: bool) -> bytes:  # the one thing that it says
    """usesApex; true is the default, which DER leaves out."""
    return b"" if apex else der.tlv(BOOLEAN, b"\0")


def communities_under(tag: int, communities: Sequence[str]) -> bytes:
    """A CommunityIdentifierList under a tag; nothing for none, as stores that are in none leave it out."""
    return der.tlv(tag, b"".join(der.oid(one) for one in communities)) if communities else b""


def numbers_under(tag: int, numbers: Sequence[SequenceNumber]) -> bytes:
    """TAMPSequenceNumbers under a tag; nothing for none."""
    return der.tlv(tag, b"".join(one.encode() for one in numbers)) if numbers else b""


def opened_answer(content: bytes) -> Reader:
    """The inside of an answer, behind its version.

    Raises:
        ValueError: it cannot be read.
    """
    data = opened(content)
    if data.next_tag == _VERSION:
        raise ValueError("another version, or a default that is written out")
    return data
