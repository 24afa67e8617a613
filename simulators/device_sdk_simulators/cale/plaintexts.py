"""What is encrypted: bare content as in the draft, or a whole response for clients that take it."""

from __future__ import annotations

import json

from device_sdk_simulators.cale.binary_http import about_content, write_response
from device_sdk_simulators.cale.padding import JSON, padded
from device_sdk_simulators.http.messages import Headers, Response


def encrypted_content(response: Response, bucket: int, *, whole: bool) -> bytes:
    """The plaintext of a success.

    Args:
        response: of a service.
        bucket: its length becomes a multiple of this, if it may be filled up; 0 for no buckets.
        whole: whether the client takes whole responses.
    """
    if whole:
        return write_response(response.status, about_content(response), response.body, bucket)
    return padded(response.body, response.header("Content-Type") or "", bucket)


def encrypted_error(status: int, bucket: int, *, whole: bool, location: str = "") -> bytes:
    """The plaintext of anything else.

    What the service said with it stays behind: an error page has a length of its own, and would tell whoever asks for
    paths that do not exist, and knows how long the answers of strangers are then.

    Args:
        status: of the service, or of the server that could not ask it.
        bucket: see encrypted_content.
        whole: see encrypted_content.
        location: where a redirect leads.
    """
    content = json.dumps({"error": status}).encode() + b"\n"
    if not whole:
        return padded(content, JSON, bucket)
    fields: Headers = [("Content-Type", JSON)]
    return write_response(status, [*fields, ("Location", location)] if location else fields, content, bucket)


def as_long_as(length: int, plaintext: bytes, *, whole: bool) -> bytes:
    """An error, filled up to at least this length: with what is no part of a response, or of JSON."""
    return plaintext + (b"\0" if whole else b"\n") * (length - len(plaintext))
