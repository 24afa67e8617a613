"""TAMPError (RFC 5934 section 4.11)."""

from __future__ import annotations

from dataclasses import dataclass

from device_sdk.wire import der
from device_sdk.wire.tamp.answers import status
from device_sdk.wire.tamp.codes import TampStatus
from device_sdk.wire.tamp.reference import MessageReference


@dataclass(frozen=True)
class TampError:
    """Why a message was refused; never that it succeeded (TR-04).

    Attributes:
        message_type: of the message, dotted.
        status: why.
        reference: of the message, where that could be read.
    """

    message_type: str
    status: TampStatus
    reference: MessageReference | None = None

    def encode(self) -> bytes:
        """DER."""
        reference = b"" if self.reference is None else self.reference.encoded
        return der.sequence(der.oid(self.message_type), status(self.status), reference)
