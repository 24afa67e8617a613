"""Trust anchor management: a message that changes nothing (RFC 5934)."""

from __future__ import annotations

from device_sdk.errors.verification import VerificationError


class TampRefusedError(VerificationError):
    """A message about trust anchors that is refused; nothing was changed.

    `status` is the number RFC 5934 section 5 has for the reason, `message_type` the object identifier of the message, where
    that could be read, and `reported` whether an error message for the server was made.
    """

    code = "tamp-refused"
    hint = "tell whoever manages the trust anchors of this device; nothing was changed"
    status: int | None = None
    message_type: str | None = None
    reported: bool | None = None
