"""URLs that people configure, and as they may be shown: in errors, logs and representations."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from device_sdk.errors import ConfigurationError


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


def split_url(url: str) -> SplitResult:
    """The parts of a URL that somebody configured; host name and port can be read from them.

    Raises:
        ConfigurationError: credentials inside, or no URL at all; the text does not repeat a password.
    """
    # First of all: what a parser says about a URL may repeat a password in it.
    if has_userinfo(url):
        raise ConfigurationError(
            f"{shown_url(url)}: the URL holds credentials", hint="give user name and password by their own options"
        )
    try:
        parts = urlsplit(url)
        parts.hostname, parts.port  # noqa: B018  # parsed when they are asked for
    except ValueError:
        raise ConfigurationError(f"{shown_url(url)}: not a URL", hint="https://HOST or https://HOST:PORT") from None
    return parts
