"""Which scope a path needs (CALE-56), and which paths are too odd to say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

_PLAIN = re.compile(r"/[\x21-\x7e]*")


class OddPathError(ValueError):
    """A path that two servers could read in two ways."""


def plain_path(target: str) -> str:
    """The decoded path of a request target; OddPathError for dot segments, empty segments and encoded separators.

    What is checked here has to be what the resource server reads, so there must be one way to read it.
    """
    raw = target.split("?", 1)[0]
    if not _PLAIN.fullmatch(target) or "#" in target or "\\" in raw or re.search(r"%(2f|5c|00)", raw, re.IGNORECASE):
        raise OddPathError("the path has characters that can be read in two ways")
    try:
        path = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise OddPathError("the path is not UTF-8") from error
    if any(segment in (".", "..") for segment in path.split("/")) or "//" in path or not path.isprintable():
        raise OddPathError("the path has segments that can be read in two ways")
    return path


def needed_scope(path: str, scopes: Mapping[str, str]) -> str | None:
    """The scope of the longest entry that is the path or one above it; None if everybody may read it."""
    fitting = [entry for entry in scopes if path == entry or path.startswith(entry.rstrip("/") + "/")]
    return scopes[max(fitting, key=len)] if fitting else None
