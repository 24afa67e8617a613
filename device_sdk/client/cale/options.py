"""How answers are read."""

from __future__ import annotations

import os
from dataclasses import dataclass

from device_sdk.model.decryption import EVERYTHING, DecryptionPolicy
from device_sdk.model.http import MAX_RESPONSE_BYTES
from device_sdk.protocols.cale.answers import ContentCheck

MAX_STREAM_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class AnswerOptions:
    """Limits and checks.

    Attributes:
        check: raises ValueError if a plaintext is not what was asked for (CALE-09); json.loads will do. With AES-CBC nothing
            else shows that an answer was altered behind the edge device.
        limit_bytes: the largest answer that is read into memory, still encrypted.
        stream_limit_bytes: the largest answer with `stream=True`, still encrypted.
        spool_directory: where large answers wait, encrypted, until they were checked; by default what TMPDIR says.
        policy: the algorithms that are accepted; any other message is not for us.
    """

    check: ContentCheck | None = None
    limit_bytes: int = MAX_RESPONSE_BYTES
    stream_limit_bytes: int = MAX_STREAM_BYTES
    spool_directory: str | os.PathLike[str] | None = None
    policy: DecryptionPolicy = EVERYTHING

    def checked(self, plaintext: bytes) -> bytes:
        """The plaintext, if `check` has nothing against it."""
        if self.check is not None:
            self.check(plaintext)
        return plaintext
