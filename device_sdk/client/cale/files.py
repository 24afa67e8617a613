"""Messages that did not come over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from device_sdk.model.decryption import EVERYTHING, DecryptionPolicy
from device_sdk.model.keys import PrivateKey
from device_sdk.wire.cms import open_envelope

MAX_FILE_BYTES = 64 * 1024 * 1024


def decrypt(
    message: bytes,
    key: PrivateKey | Sequence[PrivateKey],
    *,
    limit_bytes: int = MAX_FILE_BYTES,
    policy: DecryptionPolicy = EVERYTHING,
) -> bytes:
    """The plaintext of a message in PEM, DER, BER or base64; see open_envelope.

    Nothing is written anywhere, so a failure leaves nothing behind.

    Raises:
        EnvelopeError: it does not open; one text for every reason.
        KeyStoreError: the key could not be used.
    """
    return open_envelope(message, key, limit_bytes=limit_bytes, policy=policy)
