"""The parts of a `tpm2:` or `file:` URI: the percent-encoding and the separators of RFC 7512 section 2.3."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote_to_bytes

from device_sdk.errors import UriError

MAX_URI_CHARS = 8192
"""The longest URI that is read: two paths of PATH_MAX."""

_QUERY_EXTRA = "/?|"  # RFC 7512: pk11-query-res-avail is pk11-res-avail and these
_RESERVED = ":[]@!$'()*+,="  # RFC 7512: pk11-res-avail
_RAW = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=/?|;&]|%[0-9A-Fa-f]{2})*")


def encode_path(text: str) -> str:
    """Percent-encode a value of the path; `/` stays as it is, because files are named here."""
    return quote(text, safe=_RESERVED + "&/")


def encode_query(text: str) -> str:
    """Percent-encode a value of the query."""
    return quote(text, safe=_RESERVED + _QUERY_EXTRA)


def decode(value: str, what: str) -> str:
    """Undo the percent-encoding of one value.

    Raises:
        UriError: it is not UTF-8, or holds a control character.
    """
    try:
        text = unquote_to_bytes(value).decode()
    except UnicodeDecodeError as error:
        raise UriError(f"{what} is not UTF-8 text") from error
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise UriError(f"{what} holds a control character")
    return text


def check_text(values: Mapping[str, str | None], where: str) -> None:
    """Refuse what can be no part of a URI: zero bytes, and halves of surrogate pairs (bytes that were not UTF-8).

    Args:
        values: the URI's texts by the names of their attributes.
        where: start of the message.

    Raises:
        UriError: names the attribute, not its value.
    """
    for name, value in values.items():
        if value is not None and ("\0" in value or not is_utf8(value)):
            raise UriError(f"{where}: {name} is not UTF-8 text, or has a zero byte")


def is_utf8(text: str) -> bool:
    """Whether a text can be encoded at all; halves of surrogate pairs stand for bytes that were not UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def split_uri(text: str, scheme: str) -> tuple[str, str]:
    """Path and query of a URI of this scheme, still encoded.

    Raises:
        UriError: another scheme, too long, a character that must be percent-encoded, or a malformed escape. The message
            repeats nothing of the URI: it may hold a PIN that does not belong there.
    """
    if len(text) > MAX_URI_CHARS:
        raise UriError(f"a key URI is at most {MAX_URI_CHARS} characters long")
    name, colon, rest = text.partition(":")
    if not colon or name.lower() != scheme:
        raise UriError(f"a {scheme}: URI starts with {scheme}:")
    match = _RAW.match(rest)
    end = match.end() if match else 0
    if end != len(rest):
        if rest[end] == "%":
            raise UriError(
                f"{scheme}: URI: a % must be followed by two hexadecimal digits", hint="write % itself as %25"
            )
        if not is_utf8(rest[end]):
            raise UriError(f"{scheme}: URI: it is not UTF-8 text", hint="write file names in UTF-8, percent-encoded")
        raise UriError(f"{scheme}: URI: the character {rest[end]!r} must be written {quote(rest[end])}")
    path, _, query = rest.partition("?")
    return path, query


def attributes(part: str, separator: str, allowed: Iterable[str], where: str) -> dict[str, str]:
    """The `name=value` attributes of a path or query, decoded; none of them twice, none unknown, none empty.

    Raises:
        UriError: anything else; only an attribute's name is repeated in the message.
    """
    found: dict[str, str] = {}
    for item in part.split(separator) if part else ():
        name, equals, value = item.partition("=")
        if name not in allowed:
            shown = name if re.fullmatch(r"[A-Za-z0-9_-]{1,32}", name) else "(unreadable)"
            raise UriError(f"{where}: unknown attribute {shown}", hint=f"known ones are {', '.join(allowed)}")
        if name in found:
            raise UriError(f"{where}: {name} is given twice")
        if not equals or not value:
            raise UriError(f"{where}: {name} has no value")
        found[name] = decode(value, f"{where}: {name}")
    return found
