"""What is inside an answer: bare content, as in the draft, or a whole HTTP response (RFC 9292) for clients that asked for it.

Whoever registers says with its key that it reads the second (`BINARY_HTTP` among its S/MIME capabilities); the server chooses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from device_sdk.protocols.cale.behind import error_status
from device_sdk.wire.binary_http import BINARY_HTTP, ResponseHead, read_response
from device_sdk.wire.cms.oids import DATA

CONTENT_TYPES = (DATA, BINARY_HTTP)
"""What may be inside; the first needs no asking."""

ABOUT_CONTENT = frozenset(
    {
        "content-type",
        "content-language",
        "content-location",
        "content-disposition",
        "content-digest",
        "repr-digest",
        "etag",
        "last-modified",
        "location",
    }
)
"""The fields that are taken from inside: what the content is (RFC 9110 section 8, RFC 6266, RFC 9530), and where a redirect
leads. None that sets a state (Set-Cookie), asks for credentials, or lets somebody keep the plaintext (Cache-Control)."""


@dataclass(frozen=True)
class Document:
    """A decrypted answer.

    Attributes:
        content: the plaintext, without what it was filled up with if it says its length.
        status: of the server behind the edge device; 200 where nothing says so.
        headers: of the server behind the edge device, names in lower case.
        whole: whether it was a response with status and fields; if not, `headers` are empty because nobody said any.
    """

    content: bytes = field(repr=False)
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    whole: bool = False

    @property
    def is_error(self) -> bool:
        """Whether it is something else than what was asked for: an error, or a redirect."""
        return self.status >= 300


def read_document(content_type: str, plaintext: bytes, *, encrypted_errors: bool = True) -> Document:
    """A plaintext by its type.

    Args:
        content_type: one of CONTENT_TYPES.
        plaintext: all of it.
        encrypted_errors: whether bare content that says `{"error": 502}` is an error; see `error_status`.

    Raises:
        WireError: not a response, although it is said to be one.
    """
    if content_type == BINARY_HTTP:
        head, content = read_response(plaintext)
        return document_of(head, content)
    status = error_status(plaintext) if encrypted_errors else None
    return Document(plaintext, 200 if status is None else status)


def document_of(head: ResponseHead, content: bytes = b"") -> Document:
    """The document that a response begins; a field that is there twice is left out, as nobody knows which one is meant."""
    names = [name for name, _ in head.fields]
    fields = tuple((name, value) for name, value in head.fields if name in ABOUT_CONTENT and names.count(name) == 1)
    return Document(content, head.status, fields, whole=True)
