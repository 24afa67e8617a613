"""Making the plaintext the content of a response of requests."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import responses

import requests
from requests.utils import get_encoding_from_headers

from device_sdk.client.cale.spool import PrivateSpool
from device_sdk.client.cale.streaming import PlaintextRaw
from device_sdk.protocols.cale.documents import ABOUT_CONTENT, Document
from device_sdk.wire.cale import says_encrypted, says_nothing, split_content_types

# What says something about the envelope and nothing about its content.
_ENVELOPE_HEADERS = (
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Encoding",
    "Content-Disposition",
    "Content-MD5",
    "Content-Digest",
    "Digest",
    "MIME-Version",
    "Transfer-Encoding",
)


def content_types(response: requests.Response) -> tuple[str, ...]:
    """Every single Content-Type of a response."""
    return split_content_types([response.headers.get("Content-Type", "")])


def replace_content(response: requests.Response, document: Document) -> None:
    """Make a document the content of a response whose body has been read."""
    _relabel(response, document)
    response.headers["Content-Length"] = str(len(document.content))
    response._content = document.content
    response._content_consumed = True  # type: ignore[attr-defined]  # types-requests does not know it
    response.encoding = _declared(response) or _text_encoding(document.content)


def replace_stream(
    response: requests.Response, document: Document, plaintext: Iterator[bytes], spool: PrivateSpool | None
) -> None:
    """Let the plaintext be read from a response that is streamed; nobody knows its length beforehand."""
    _relabel(response, document)
    response.headers.pop("Content-Length", None)
    response.raw = PlaintextRaw(plaintext, response.raw, spool)
    response._content = False  # type: ignore[assignment]  # what requests itself has there before a body is read
    response._content_consumed = False  # type: ignore[attr-defined]  # types-requests does not know it
    response.encoding = _declared(response) or (None if spool else _text_encoding(document.content))


def drop_content(response: requests.Response) -> None:
    """Take the plaintext away, however large: of a redirect requests would read all of it into memory."""
    if isinstance(response.raw, PlaintextRaw):
        response.raw.close()
    response._content = b""
    response._content_consumed = True  # type: ignore[attr-defined]  # types-requests does not know it
    response.headers["Content-Length"] = "0"


def _relabel(response: requests.Response, document: Document) -> None:
    """Status and header fields of a document in place of those of its envelope."""
    outer = [one for one in content_types(response) if not says_encrypted(one) and not says_nothing(one)]
    for name in (*_ENVELOPE_HEADERS, *(ABOUT_CONTENT if document.whole else ())):
        response.headers.pop(name, None)
    if document.whole:
        response.headers.update({name.title(): value for name, value in document.headers})
    elif outer:
        response.headers["Content-Type"] = outer[0]
    # bare content has no status, so that of its envelope stays, unless it is a redirect that leads nowhere
    said = document.is_error or document.whole or 300 <= response.status_code < 400
    if said and document.status != response.status_code:
        response.status_code = document.status
        reason = responses.get(document.status, "Status")
        response.reason = f"{reason}, behind the edge device" if document.is_error else reason


def _declared(response: requests.Response) -> str | None:
    """The charset that a Content-Type names, or that its type has; not the one that requests assumes for texts."""
    if "charset" not in response.headers.get("Content-Type", "").lower() and _is_text(response):
        return None
    return get_encoding_from_headers(response.headers)


def _is_text(response: requests.Response) -> bool:
    return response.headers.get("Content-Type", "").lower().startswith("text/")


def _text_encoding(content: bytes) -> str | None:
    """UTF-8 if it is; requests would guess otherwise."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return None
    return "utf-8"
