"""TAMPMsgRef and what messages begin with (RFC 5934 section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_sdk.wire import der
from device_sdk.wire.cms.reader import INTEGER, OCTET_STRING, Reader
from device_sdk.wire.tamp.codes import TampStatus, refused
from device_sdk.wire.tamp.strict import enumerated, several
from device_sdk.wire.tamp.targets import Target, read_target

MAX_SEQUENCE = 2**63 - 1
MAX_NUMBERS = 256
MAX_KEY_ID_BYTES = 64

_VERSION, _TERSE = 0x80, 0x81
_V2 = b"\2"


@dataclass(frozen=True)
class MessageReference:
    """Whom a message is for, and its number.

    Attributes:
        target: whom.
        number: counts the signer's messages; never more than MAX_SEQUENCE.
        encoded: DER, which answers repeat (TR-04).
    """

    target: Target
    number: int
    encoded: bytes = field(repr=False)


@dataclass(frozen=True)
class SequenceNumber:
    """The number last seen of the anchor with this key identifier."""

    key_id: bytes
    number: int

    def encode(self) -> bytes:
        """DER."""
        return der.sequence(der.tlv(OCTET_STRING, self.key_id), der.integer(self.number))


def read_head(data: Reader, *, terse: bool = True) -> tuple[bool, MessageReference]:
    """Whether a terse answer is wanted, and the reference; the version before them has to be 2.

    Args:
        data: inside the message.
        terse: whether this kind of message says so.

    Raises:
        ValueError: it cannot be read.
        TampRefusedError: another version.
    """
    version = data.contents(_VERSION) if data.next_tag == _VERSION else None
    if version is not None and version != _V2:
        raise refused(TampStatus.VERSION_NUMBER_MISMATCH, "it is of another version of the protocol than 2")
    if version is not None:
        raise ValueError("a default that is written out")
    wanted = False
    if terse and data.next_tag == _TERSE:
        # 2, verbose, is the default, which DER leaves out
        if enumerated(data.contents(_TERSE)) != 1:
            raise ValueError("neither terse nor verbose, or a default that is written out")
        wanted = True
    return wanted, read_reference(data)


def read_reference(data: Reader) -> MessageReference:
    """A TAMPMsgRef.

    Raises:
        ValueError: it cannot be read.
    """
    encoded = data.element(0x30)
    inner = type(data)(encoded).enter()
    target, _ = read_target(inner)
    number = read_number(inner)
    inner.finish()
    return MessageReference(target, number, encoded)


def read_number(data: Reader) -> int:
    """A SeqNumber.

    Raises:
        ValueError: it is negative, or more than 64 bits have room for.
    """
    number = data.integer()  # of at most eight octets, so not above MAX_SEQUENCE
    if number < 0:
        raise ValueError("a sequence number below zero")
    return number


def read_numbers(members: Reader) -> tuple[SequenceNumber, ...]:
    """TAMPSequenceNumbers, from its inside.

    Raises:
        ValueError: it cannot be read, or is too long.
    """
    return several(members, _read_one, MAX_NUMBERS)


def read_key_id(data: Reader) -> bytes:
    """A KeyIdentifier.

    Raises:
        ValueError: it is empty or too long.
    """
    key_id = data.octets()
    if not 0 < len(key_id) <= MAX_KEY_ID_BYTES:
        raise ValueError("a key identifier of a strange length")
    return key_id


def has_number(data: Reader) -> bool:
    """Whether the next element is an INTEGER."""
    return data.next_tag == INTEGER


def _read_one(members: Reader) -> SequenceNumber:
    inner = members.enter()
    found = SequenceNumber(read_key_id(inner), read_number(inner))
    inner.finish()
    return found
