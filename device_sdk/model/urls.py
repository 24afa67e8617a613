"""URLs as they may be shown: in errors, logs and representations."""

from __future__ import annotations


def shown_url(url: str) -> str:
    """A URL, well-formed or not, with `***` for everything between "//" and the last "@".

    A password that somebody typed into a URL may hold any character, so this does not depend on what a parser makes of
    the text; rather too much is hidden ("https://host/a@b").
    """
    before, at, after = url.rpartition("@")
    if not at:
        return url
    scheme, slashes, _ = before.partition("//")
    return f"{scheme + slashes if slashes else ''}***@{after}"


def has_userinfo(url: str) -> bool:
    """Whether an "@" comes before what could be a path, however many slashes a mistyped URL starts with."""
    _, separator, rest = url.partition("://")
    authority = (rest if separator else url).lstrip("/\\")
    for end in "/?#":
        authority = authority.partition(end)[0]
    return "@" in authority
