"""URLs as they may be shown: in errors, logs and representations."""

from __future__ import annotations


def shown_url(url: str) -> str:
    """A URL, well-formed or not, with `***` for everything between "//" and the last "@", and without its query.

    A password that somebody typed into a URL may hold any character, so this does not depend on what a parser makes of
    the text; rather too much is hidden ("https://host/a@b").
    """
    before, at, after = url.rpartition("@")
    if not at:
        return without_query(url)
    scheme, slashes, _ = before.partition("//")
    return f"{scheme + slashes if slashes else ''}***@{without_query(after)}"


def without_query(url: str) -> str:
    """A URL or request target up to its path: programs put tokens into queries, and those are for no error and no log."""
    return url.partition("#")[0].partition("?")[0]


def has_userinfo(url: str) -> bool:
    """Whether an "@" comes before what could be a path, however many slashes a mistyped URL starts with."""
    _, separator, rest = url.partition("://")
    authority = (rest if separator else url).lstrip("/\\")
    for end in "/?#":
        authority = authority.partition(end)[0]
    return "@" in authority
