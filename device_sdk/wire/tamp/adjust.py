"""SequenceNumberAdjust and SequenceNumberAdjustConfirm (RFC 5934 sections 4.9 and 4.10)."""

from __future__ import annotations

from dataclasses import dataclass

from device_sdk.wire import der
from device_sdk.wire.tamp.answers import status
from device_sdk.wire.tamp.codes import TampStatus
from device_sdk.wire.tamp.reference import MessageReference, read_head
from device_sdk.wire.tamp.strict import opened


@dataclass(frozen=True)
class SequenceAdjust:
    """The signer's last number was that of the reference."""

    reference: MessageReference


@dataclass(frozen=True)
class SequenceAdjustConfirm:
    """What became of it."""

    reference: MessageReference
    status: TampStatus

    def encode(self) -> bytes:
        """DER."""
        return der.sequence(self.reference.encoded, status(self.status))


def read_sequence_adjust(content: bytes) -> SequenceAdjust:
    """Read an adjustment.

    Raises:
        ValueError: it cannot be read.
        TampRefusedError: another version.
    """
    data = opened(content)
    _, reference = read_head(data, terse=False)
    data.finish()
    return SequenceAdjust(reference)
