"""How answers are read."""

from __future__ import annotations

import os
from dataclasses import dataclass

from device_sdk.model.decryption import EVERYTHING, DecryptionPolicy
from device_sdk.protocols.cale.answers import ContentCheck
from device_sdk.protocols.cale.documents import Document
from device_sdk.protocols.cale.requests import MAX_ANSWER_BYTES

MAX_STREAM_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class AnswerOptions:
    """Limits and checks.

    Attributes:
        check: raises, whatever it likes, if a plaintext is not what was asked for (CALE-09); json.loads will do. With
            AES-CBC nothing else shows that an answer was altered behind the edge device.
        limit_bytes: the largest answer that is read into memory, still encrypted.
        stream_limit_bytes: the largest answer with `stream=True`, still encrypted.
        spool_directory: where large answers wait, encrypted, until they were checked; by default what TMPDIR says.
        policy: the algorithms that are accepted; any other message is not for us.
        encrypted_errors: whether a plaintext `{"error": 502}` is an error of a server behind the edge device, as with the
            reference servers, and becomes the status of the response; False for services whose own documents look like
            that.
    """

    check: ContentCheck | None = None
    limit_bytes: int = MAX_ANSWER_BYTES
    stream_limit_bytes: int = MAX_STREAM_BYTES
    spool_directory: str | os.PathLike[str] | None = None
    policy: DecryptionPolicy = EVERYTHING
    encrypted_errors: bool = True

    def checked(self, document: Document) -> Document:
        """The document, if it is an error or `check` has nothing against it."""
        if self.check is not None and not document.is_error:
            self.check(document.content)
        return document
