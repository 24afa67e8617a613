"""Which scope a path needs (CALE-56), and which paths are too odd to say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

_PLAIN = re.compile(r"/[\x21-\x7e]*")
_ENCODED = re.compile(r"%(00|2e|2f|3b|5c)", re.IGNORECASE)
"""NUL, dot, slash, semicolon and backslash: what some servers decode before they take a path apart, and some after."""
_ESCAPE = re.compile(r"%[0-9a-fA-F]{2}")


class OddPathError(ValueError):
    """A path that two servers could read in two ways."""


def plain_path(target: str) -> str:
    """The decoded path of a request target; OddPathError for one that can be read in two ways.

    That is: dot segments, empty segments, parameters (`;`, which Tomcat and Jetty take off before they look for dots), these
    signs encoded, or encoded twice. What is checked here has to be what the resource server reads.
    """
    raw = target.split("?", 1)[0]
    if not _PLAIN.fullmatch(target) or "#" in target or "\\" in raw or ";" in raw or _ENCODED.search(raw):
        raise OddPathError("the path has characters that can be read in two ways")
    try:
        path = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise OddPathError("the path is not UTF-8") from error
    if any(segment in (".", "..") for segment in path.split("/")) or "//" in path or not path.isprintable():
        raise OddPathError("the path has segments that can be read in two ways")
    if _ESCAPE.search(path):
        raise OddPathError("the path is encoded twice")
    return path


def needed_scopes(path: str, scopes: Mapping[str, str], renamed: Mapping[str, str]) -> set[str]:
    """All the scopes that reading what a path names takes: whatever other name leads to the same, its rule counts, too.

    Args:
        path: as `plain_path` gives it.
        scopes: by path.
        renamed: names at the resource server of paths that have others outside.
    """
    inside = renamed.get(path, path)
    names = {path, inside, *(outside for outside, name in renamed.items() if name == inside)}
    found = {needed_scope(name, scopes) for name in names}
    return {scope for scope in found if scope is not None}


def needed_scope(path: str, scopes: Mapping[str, str]) -> str | None:
    """The scope of the longest entry that is the path or one above it; None if everybody may read it.

    Letter case does not count, as it does not for some servers; of entries that differ in nothing else, the exact one does.
    """
    fitting = [entry for entry in scopes if _is_at_or_below(path.casefold(), entry.casefold())]
    best = max(fitting, key=lambda entry: (len(entry.rstrip("/")), _is_at_or_below(path, entry)), default=None)
    return None if best is None else scopes[best]


def _is_at_or_below(path: str, entry: str) -> bool:
    above = entry.rstrip("/")
    return path == above or path.startswith(above + "/")
