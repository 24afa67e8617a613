"""Messages that did not come over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from device_sdk.errors import EnvelopeError
from device_sdk.model.decryption import EVERYTHING, DecryptionPolicy
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.cale.answers import ContentCheck
from device_sdk.protocols.cale.documents import CONTENT_TYPES, Document, read_document
from device_sdk.wire.cms import CANNOT_OPEN
from device_sdk.wire.cms.envelope import open_typed

MAX_FILE_BYTES = 64 * 1024 * 1024


def decrypt(
    message: bytes,
    key: PrivateKey | Sequence[PrivateKey],
    *,
    check: ContentCheck | None = None,
    limit_bytes: int = MAX_FILE_BYTES,
    policy: DecryptionPolicy = EVERYTHING,
) -> bytes:
    """The plaintext of a message in PEM, DER, BER or base64; see `decrypt_document`, whose content it is."""
    return decrypt_document(message, key, check=check, limit_bytes=limit_bytes, policy=policy).content


def decrypt_document(
    message: bytes,
    key: PrivateKey | Sequence[PrivateKey],
    *,
    check: ContentCheck | None = None,
    limit_bytes: int = MAX_FILE_BYTES,
    policy: DecryptionPolicy = EVERYTHING,
) -> Document:
    """What is in a message in PEM, DER, BER or base64; see open_envelope.

    Nothing is written anywhere, so a failure leaves nothing behind. Bare content is never taken for an error, whatever it
    says: the message may be of anybody. A whole response has a status, and may be one.

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
    opened = open_typed(message, key, limit_bytes=limit_bytes, content_types=CONTENT_TYPES, policy=policy)
    document = _checked(opened, check)
    del opened  # a traceback keeps the variables of its frames
    if document is None:
        raise EnvelopeError(CANNOT_OPEN)
    return document


def _checked(opened: tuple[str, bytes], check: ContentCheck | None) -> Document | None:
    """The document; None if it is not what it is said to be, or `check` refuses its content."""
    try:
        document = read_document(*opened, encrypted_errors=False)
        if check is not None:
            check(document.content)
    except Exception:  # noqa: BLE001  # it may quote the plaintext, and tells it from one that did not open
        return None
    return document
