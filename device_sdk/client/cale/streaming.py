"""An answer that is larger than memory, as requests hands it over with `stream=True`."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any

from device_sdk.client.cale.slots import FAILURE_SLOTS
from device_sdk.client.cale.spool import PrivateSpool
from device_sdk.errors import EnvelopeError, WireError
from device_sdk.model.decryption import DecryptionPolicy
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.cale.answers import not_for_us, open_document
from device_sdk.protocols.cale.documents import CONTENT_TYPES, Document, document_of
from device_sdk.wire.binary_http import BINARY_HTTP, MAX_HEAD_BYTES, check_pieces, read_head
from device_sdk.wire.cms.stream import OpenedStream, open_typed_stream

SMALL_BYTES = 256 * 1024
"""Up to here an answer is opened in memory."""


# What the original goes on to say: of the answer as it came over the network, and nothing that reads from it.
_OF_THE_ORIGINAL = frozenset(
    {
        "connection",
        "getheader",
        "getheaders",
        "geturl",
        "headers",
        "info",
        "msg",
        "reason",
        "release_conn",
        "retries",
        "status",
        "url",
        "version",
        "version_string",
        "_original_response",
    }
)
_LINE_BYTES = 8192


class PlaintextRaw(io.RawIOBase):
    """Takes the place of `Response.raw` once an answer has been decrypted: a file of plaintext, read once from its beginning.

    It has what programs use of urllib3's response and of files: `read`, `read1`, `readinto`, `readline`, `stream`,
    `read_chunked`, `data`, iteration by lines, `headers` and `status`. What would read the ciphertext is not there, and it
    cannot seek.

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
        self._piece, self._at = b"", 0
        self._body: bytes | None = None
        self._ended = False

    def __getattr__(self, name: str) -> Any:
        if name not in _OF_THE_ORIGINAL:
            raise AttributeError(f"a decrypted answer has no {name!r}")
        return getattr(self._original, name)

    def readable(self) -> bool:
        """It is."""
        return True

    def stream(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        """The plaintext in pieces of at most this many bytes; see urllib3."""
        del decode_content
        while piece := self.read1(amt or SMALL_BYTES):
            yield piece

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        """The same: in pieces it is, whatever the transfer encoding was."""
        return self.stream(amt, decode_content)

    def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> bytes:
        """So many bytes, fewer only at the end; all that is left for None and negative numbers. None after `close`."""
        del decode_content, cache_content
        everything = amt is None or amt < 0
        found, size = [], 0
        while everything or size < (amt or 0):
            piece = self.read1(-1 if everything else (amt or 0) - size)
            if not piece:
                break
            found.append(piece)
            size += len(piece)
        return b"".join(found)

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """At most so many bytes, what is at hand; b"" at the end only, or if none were asked for."""
        del decode_content
        if amt == 0:
            return b""
        left = self._at_hand()
        size = left if amt is None or amt < 0 else min(amt, left)
        found = self._piece[self._at : self._at + size]
        self._at += size
        return found

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with what is at hand; how many bytes."""
        view = memoryview(buffer).cast("B")
        found = self.read1(len(view))
        view[: len(found)] = found
        return len(found)

    def readall(self) -> bytes:
        """All that is left."""
        return self.read()

    def peek(self, amt: int = 0) -> bytes:
        """What comes next, some of it, without taking it."""
        del amt
        self._at_hand()
        return self._piece[self._at : self._at + _LINE_BYTES]

    @property
    def data(self) -> bytes:
        """All that has not been read, kept, as urllib3 has it."""
        if self._body is None:
            self._body = self.read()
        return self._body

    def isclosed(self) -> bool:
        """Whether it was closed; http.client's word for it."""
        return self.closed

    def close(self) -> None:
        """Give the spool and the connection back; nothing more can be read."""
        if not self.closed:
            self._piece, self._at, self._pieces = b"", 0, iter(())
            self._end()
            self._original.close()
        super().close()

    def _at_hand(self) -> int:
        """How many bytes of a piece are left; none at the end."""
        while self._at >= len(self._piece):
            piece = next(self._pieces, None)
            if piece is None:
                self._end()
                return 0
            self._piece, self._at = piece, 0
        return len(self._piece) - self._at

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
    encrypted_errors: bool = True,
) -> tuple[Document, Iterator[bytes], PrivateSpool | None]:
    """The plaintext of an answer of any size; all of it was checked before the first byte is handed over.

    What is large waits, still encrypted, in a temporary file without a name. No plaintext is written anywhere.

    Args:
        chunks: the body.
        key: what opens it.
        url: where it came from, for the error.
        limit_bytes: the largest body.
        policy: the algorithms that are accepted.
        directory: where the temporary file goes.
        encrypted_errors: see `read_document`; an error is never large.

    Returns:
        What is known of the document, with its content only if it is small; the content; and what has to be closed when
        it has been read.

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
        with FAILURE_SLOTS.one(size):
            small = open_document(
                b"".join(begin), key, url, lambda one: one, encrypted_errors=encrypted_errors, policy=policy
            )
        return small, iter((small.content,)), None
    spool = PrivateSpool(directory)
    with ExitStack() as on_failure:
        on_failure.callback(spool.close)
        found = _opened(chain(begin, chunks), key, spool, limit_bytes, policy)
        # raised here so that no cause hangs on it
        if found is None:
            raise not_for_us(url)
        on_failure.pop_all()
    return *found, spool


def _opened(
    chunks: Iterator[bytes], key: PrivateKey, spool: PrivateSpool, limit_bytes: int, policy: DecryptionPolicy
) -> tuple[Document, Iterator[bytes]] | None:
    try:
        opened = open_typed_stream(
            chunks, key, spool, limit_bytes=limit_bytes, content_types=CONTENT_TYPES, policy=policy
        )
        return _whole(opened) if opened.content_type == BINARY_HTTP else (Document(b""), opened.pieces())
    except (EnvelopeError, WireError):
        return None


def _whole(opened: OpenedStream) -> tuple[Document, Iterator[bytes]]:
    """A response in pieces, looked at to its end; WireError if it is none."""
    pieces, begin = opened.pieces(), b""
    for piece in pieces:
        begin += piece
        if len(begin) >= MAX_HEAD_BYTES:
            break
    head = read_head(begin[:MAX_HEAD_BYTES])
    if not check_pieces(head, chain((begin,), pieces)):
        raise WireError("not a response in Binary HTTP", what="Binary HTTP")
    return document_of(head), _between(opened.pieces(), head.start, head.start + head.length)


def _between(pieces: Iterator[bytes], start: int, end: int) -> Iterator[bytes]:
    """What is between two places, all of it read, as nothing but its end tells a changed spool."""
    at = 0
    for piece in pieces:
        found = piece[max(0, start - at) : max(0, end - at)]
        at += len(piece)
        if found:
            yield found
