"""One entry of a package availability list, whichever form it came in (RFC 8295 section 2.1; P-05 to P-11)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn, TypeAlias, TypeGuard

from device_sdk.errors import WireError

MAX_ENTRIES = 1024
MAX_TEXT = 1024
_MAX_SERIAL = 1 << 160  # RFC 5280 section 4.1.2.2: 20 octets
_MAX_SIZE = 1 << 63
_TYPE = re.compile(r"[0-9]{4}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")


@dataclass(frozen=True)
class IssuerSerial:
    """A certificate by the name of its issuer, as RFC 4514 writes it, and its serial number."""

    issuer: str
    serial: int


CertificateName: TypeAlias = str | bytes | IssuerSerial
"""Which certificate is to be renewed: its subject (RFC 4514), its subject key identifier, or issuer and serial number."""


@dataclass(frozen=True)
class PalEntry:
    """One package the server has for the client, or wants from it.

    Attributes:
        type: four digits; a hint, no more (P-18).
        size: of the package in bytes, as the server says; 0 where the client is to begin something.
        uri: where to go; None if the entry names a certificate instead.
        certificate: the certificate the entry is about; None if it has a URI.
        date: when this client last got the package, as the server knows; None if it does not.
    """

    type: str
    size: int
    uri: str | None = None
    certificate: CertificateName | None = None
    date: datetime | None = None


def make_entry(kind: object, size: object, info: tuple[str, object], date: object = None) -> PalEntry:
    """Check the four fields of an entry, as a parser found them.

    Args:
        kind: the type.
        size: a number.
        info: the one member of `info`: its name ("dn", "ski", "iasn", "uri") and its value; that of "iasn" is a pair.
        date: text, or None.

    Raises:
        WireError: a field is not what it should be.
    """
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        _refuse("a type that is not four digits")
    if not _is_number(size) or not 0 <= size < _MAX_SIZE:
        _refuse(f"an entry of type {kind} whose size is no number of bytes")
    when = None if date is None else _date(date)
    name, value = info
    if name == "uri":
        return PalEntry(kind, size, uri=_uri(value), date=when)
    return PalEntry(kind, size, certificate=_certificate(name, value), date=when)


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _date(value: object) -> datetime:
    """P-07: 20 characters, UTC, whole seconds; leap seconds do not exist."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        _refuse("a date that is not YYYY-MM-DDTHH:MM:SSZ")
    try:
        return datetime.fromisoformat(value.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        _refuse("a date that does not exist")


def _uri(value: object) -> str:
    text = _text(value, "uri")
    if not text.isascii() or any(char.isspace() for char in text):
        _refuse("a uri with characters that no URI has")
    return text


def _certificate(name: str, value: object) -> CertificateName:
    if name == "dn":
        return _text(value, "dn")
    if name == "ski":
        digits = _text(value, "ski", MAX_TEXT * 2)
        if not _HEX.fullmatch(digits):
            _refuse("a ski that is not pairs of hexadecimal digits")
        return bytes.fromhex(digits)
    if name != "iasn" or not isinstance(value, tuple):
        _refuse("an info that is none of dn, ski, iasn and uri")
    issuer, serial = value
    if not _is_number(serial) or not 0 <= serial < _MAX_SERIAL:
        _refuse("a serial number that no certificate has")
    return IssuerSerial(_text(issuer, "issuer"), serial)


def _text(value: object, what: str, limit: int = MAX_TEXT) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        _refuse(f"a {what} that is not text of 1 to {limit} characters")
    if not value.isprintable():
        _refuse(f"a {what} with control characters")
    return value


def _refuse(why: str) -> NoReturn:
    raise WireError(f"the package list has {why}", what="pal")
