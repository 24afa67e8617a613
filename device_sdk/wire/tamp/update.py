"""TAMPUpdate and TAMPUpdateConfirm (RFC 5934 sections 4.3 and 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from device_sdk.wire import der
from device_sdk.wire.cms.reader import SEQUENCE, Reader
from device_sdk.wire.tamp.anchors import TrustAnchor, read_anchor
from device_sdk.wire.tamp.answers import StoreContents, numbers_under, statuses, uses_apex
from device_sdk.wire.tamp.changes import AnchorChange, read_change
from device_sdk.wire.tamp.codes import TampStatus
from device_sdk.wire.tamp.reference import MessageReference, SequenceNumber, read_head, read_numbers
from device_sdk.wire.tamp.strict import opened, several

MAX_UPDATES = 256

_ADD, _REMOVE, _CHANGE, _NUMBERS = 0xA1, 0xA2, 0xA3, 0xA2
_TERSE, _VERBOSE = 0xA0, 0xA1


@dataclass(frozen=True)
class Add:
    """Put this anchor into the store."""

    anchor: TrustAnchor


@dataclass(frozen=True)
class Remove:
    """Take the anchor with this public key out of the store; DER SubjectPublicKeyInfo."""

    public_key: bytes = field(repr=False)


AnchorUpdate: TypeAlias = Add | Remove | AnchorChange


@dataclass(frozen=True)
class Update:
    """Add, remove and change anchors.

    Attributes:
        reference: whom it is for, and its number.
        updates: in this order, each on its own.
        numbers: sequence numbers of anchors that are added or changed.
        terse: whether a terse answer is wanted.
    """

    reference: MessageReference
    updates: tuple[AnchorUpdate, ...]
    numbers: tuple[SequenceNumber, ...] = ()
    terse: bool = False


@dataclass(frozen=True)
class UpdateConfirm:
    """What became of each update.

    Attributes:
        reference: of the message.
        statuses: one an update, in their order.
        contents: of the store; None for a terse answer.
    """

    reference: MessageReference
    statuses: Sequence[TampStatus]
    contents: StoreContents | None = None

    def encode(self) -> bytes:
        """DER."""
        listed, contents = statuses(self.statuses), self.contents
        if contents is None:
            return der.sequence(self.reference.encoded, der.tlv(_TERSE, listed))
        body = (
            der.sequence(listed)
            + contents.encoded_anchors
            + numbers_under(SEQUENCE, contents.numbers)
            + uses_apex(contents.apex)
        )
        return der.sequence(self.reference.encoded, der.tlv(_VERBOSE, body))


def read_update(content: bytes) -> Update:
    """Read an update.

    Raises:
        ValueError: it cannot be read.
        TampRefusedError: another version.
    """
    data = opened(content)
    terse, reference = read_head(data)
    updates = several(data.enter(), _read_one, MAX_UPDATES)
    numbers = read_numbers(data.enter(_NUMBERS)) if data.next_tag == _NUMBERS else ()
    data.finish()
    return Update(reference, updates, numbers, terse)


def _read_one(members: Reader) -> AnchorUpdate:
    if members.next_tag == _REMOVE:
        return Remove(der.tlv(SEQUENCE, members.contents(_REMOVE)))
    if members.next_tag == _ADD:
        explicit = members.enter(_ADD)
        found: AnchorUpdate = Add(read_anchor(explicit))
    else:
        explicit = members.enter(_CHANGE)
        found = read_change(explicit)
    explicit.finish()
    return found
