"""Making the plaintext the content of a response of requests."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import responses

import requests
from requests.utils import get_encoding_from_headers

from device_sdk.client.cale.spool import PrivateSpool
from device_sdk.client.cale.streaming import PlaintextRaw
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


def replace_content(response: requests.Response, content: bytes) -> None:
    """Make the plaintext the content of a response whose body has been read."""
    _relabel(response)
    response.headers["Content-Length"] = str(len(content))
    response._content = content
    response._content_consumed = True  # type: ignore[attr-defined]  # types-requests does not know it
    label_text(response, content)


def replace_stream(response: requests.Response, plaintext: Iterator[bytes], spool: PrivateSpool | None) -> None:
    """Let the plaintext be read from a response that is streamed; nobody knows its length beforehand."""
    _relabel(response)
    response.headers.pop("Content-Length", None)
    response.raw = PlaintextRaw(plaintext, response.raw, spool)
    response._content = False  # type: ignore[assignment]  # what requests itself has there before a body is read
    response._content_consumed = False  # type: ignore[attr-defined]  # types-requests does not know it
    response.encoding = get_encoding_from_headers(response.headers)


def label_text(response: requests.Response, content: bytes) -> None:
    """Say how the whole plaintext is written, if anything does: its own Content-Type, or that it is UTF-8."""
    response.encoding = get_encoding_from_headers(response.headers) or _text_encoding(content)


def replace_status(response: requests.Response, status: int | None) -> None:
    """Give a response the status of a server behind the edge device, if there is one: its body said it, encrypted."""
    if status is not None:
        response.status_code = status
        response.reason = f"{responses.get(status, 'Error')}, behind the edge device"


def _relabel(response: requests.Response) -> None:
    inner = [one for one in content_types(response) if not says_encrypted(one) and not says_nothing(one)]
    for name in _ENVELOPE_HEADERS:
        response.headers.pop(name, None)
    if inner:
        response.headers["Content-Type"] = inner[0]


def _text_encoding(content: bytes) -> str | None:
    """UTF-8 if it is; requests would guess otherwise."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return None
    return "utf-8"
