"""Hides how long texts are: their length becomes a multiple of the bucket (CALE-37).

The filling is line feeds at the end of the content, under the encryption: white space that JSON (RFC 8259 section 2), XML and
PEM ignore and that does no harm to plain text. Contents of other types stay as they are, for nobody could tell the filling
from the content; decoys follow their lengths one by one.
"""

from __future__ import annotations

import re

JSON = "application/json"
PEM = "application/x-pem-file"
_PADDED = re.compile(r"text/.+|application/(json|xml|x-pem-file|javascript|yaml|.+\+(json|xml))")


def padded(content: bytes, media_type: str, bucket: int) -> bytes:
    """The content, filled up to a multiple of `bucket` bytes if its type allows that; 0 for no buckets."""
    if not bucket or not _PADDED.fullmatch(media_type.split(";", maxsplit=1)[0].strip().lower()):
        return content
    return content + b"\n" * (-len(content) % bucket)
