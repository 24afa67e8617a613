"""Messages that did not come over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from device_sdk.client.cale.slots import FAILURE_SLOTS
from device_sdk.errors import EnvelopeError
from device_sdk.model.decryption import EVERYTHING, DecryptionPolicy
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.cale.answers import ContentCheck
from device_sdk.protocols.cale.documents import CONTENT_TYPES, Document, read_document
from device_sdk.wire.cms import CANNOT_OPEN
from device_sdk.wire.cms.envelope import judge_envelope

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

    def read(content_type: str, plaintext: bytes) -> Document:
        document = read_document(content_type, plaintext, encrypted_errors=False)
        if check is not None:
            check(document.content)
        return document

    with FAILURE_SLOTS.one(len(message)):
        document = judge_envelope(
            message, key, read, limit_bytes=limit_bytes, content_types=CONTENT_TYPES, policy=policy
        )
        if document is None:
            raise EnvelopeError(CANNOT_OPEN)
    return document
