"""An answer that is larger than memory, as requests hands it over with `stream=True`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any

from device_sdk.client.cale.spool import PrivateSpool
from device_sdk.errors import EnvelopeError
from device_sdk.model.decryption import DecryptionPolicy
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.cale.answers import not_for_us, open_answer
from device_sdk.wire.cms import open_stream

SMALL_BYTES = 256 * 1024
"""Up to here an answer is opened in memory."""


class PlaintextRaw:
    """Takes the place of `Response.raw` once an answer has been decrypted: a file without an end one has to know.

    Args:
        pieces: the plaintext.
        original: what was there, for the cookies and for giving the connection back.
        spool: closed at the end, or None.
    """

    decode_content = False

    def __init__(self, pieces: Iterator[bytes], original: Any, spool: PrivateSpool | None = None) -> None:
        self._pieces = pieces
        self._original = original
        self._spool = spool
        self._left = b""
        self._ended = False

    def __getattr__(self, name: str) -> Any:
        # headers, status, _original_response: what requests and others look for
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._original, name)

    def stream(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        """The plaintext in pieces of at most this many bytes; see urllib3."""
        del decode_content
        while piece := self.read(amt or SMALL_BYTES):
            yield piece

    def read(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """At most this many bytes, or all; none at the end."""
        del decode_content
        if amt is None:
            found, self._left = self._left + b"".join(self._pieces), b""
        else:
            found = self._some(amt)
        if not found and amt != 0:
            self._end()
        return found

    def close(self) -> None:
        """Give the spool and the connection back; nothing more can be read."""
        self._left, self._pieces = b"", iter(())
        self._end()
        self._original.close()

    def _some(self, amt: int) -> bytes:
        if not self._left:
            self._left = next((piece for piece in self._pieces if piece), b"")
        found, self._left = self._left[:amt], self._left[amt:]
        return found

    def _end(self) -> None:
        if not self._ended and self._spool is not None:
            self._spool.close()
        self._ended = True


def open_in_pieces(
    chunks: Iterator[bytes],
    key: PrivateKey,
    url: str,
    *,
    limit_bytes: int,
    policy: DecryptionPolicy,
    directory: str | os.PathLike[str] | None = None,
) -> tuple[Iterator[bytes], PrivateSpool | None]:
    """The plaintext of an answer of any size; all of it was checked before the first byte is handed over.

    What is large waits, still encrypted, in a temporary file without a name. No plaintext is written anywhere.

    Args:
        chunks: the body.
        key: what opens it.
        url: where it came from, for the error.
        limit_bytes: the largest body.
        policy: the algorithms that are accepted.
        directory: where the temporary file goes.

    Returns:
        The plaintext, and what has to be closed when it has been read.

    Raises:
        NotForUsError: it is not for us.
        StateNotWritableError: no room for the temporary file.
        KeyStoreError: the key could not be used.
    """
    begin, size = [], 0
    for piece in chunks:
        begin.append(piece)
        size += len(piece)
        if size > SMALL_BYTES:
            break
    else:
        return iter((open_answer(b"".join(begin), key, url, bytes, policy=policy),)), None
    spool = PrivateSpool(directory)
    with ExitStack() as on_failure:
        on_failure.callback(spool.close)
        plaintext = _opened(chain(begin, chunks), key, spool, limit_bytes, policy)
        # raised here so that no cause hangs on it
        if plaintext is None:
            raise not_for_us(url)
        on_failure.pop_all()
    return plaintext, spool


def _opened(
    chunks: Iterator[bytes], key: PrivateKey, spool: PrivateSpool, limit_bytes: int, policy: DecryptionPolicy
) -> Iterator[bytes] | None:
    try:
        return open_stream(chunks, key, spool, limit_bytes=limit_bytes, policy=policy)
    except EnvelopeError:
        return None
