"""Messages that did not come over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from device_sdk.errors import EnvelopeError
from device_sdk.model.decryption import EVERYTHING, DecryptionPolicy
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.cale.answers import ContentCheck
from device_sdk.wire.cms import CANNOT_OPEN, open_envelope

MAX_FILE_BYTES = 64 * 1024 * 1024


def decrypt(
    message: bytes,
    key: PrivateKey | Sequence[PrivateKey],
    *,
    check: ContentCheck | None = None,
    limit_bytes: int = MAX_FILE_BYTES,
    policy: DecryptionPolicy = EVERYTHING,
) -> bytes:
    """The plaintext of a message in PEM, DER, BER or base64; see open_envelope.

    Nothing is written anywhere, so a failure leaves nothing behind.

    Args:
        message: the message.
        key: what may open it.
        check: raises, whatever it likes, if the plaintext is not what was expected (CALE-09).
        limit_bytes: the largest message looked at.
        policy: the algorithms that are accepted.

    Raises:
        EnvelopeError: it does not open, or `check` refuses it; one text for every reason (CALE-10).
        KeyStoreError: the key could not be used.
    """
    plaintext = open_envelope(message, key, limit_bytes=limit_bytes, policy=policy)
    if check is None or _accepts(check, plaintext):
        return plaintext
    del plaintext  # a traceback keeps the variables of its frames
    raise EnvelopeError(CANNOT_OPEN)


def _accepts(check: ContentCheck, plaintext: bytes) -> bool:
    try:
        check(plaintext)
    except Exception:  # noqa: BLE001  # it may quote the plaintext, and tells it from one that did not open
        return False
    return True
