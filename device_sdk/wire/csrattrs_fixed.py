"""The values a server fixes in /csrattrs, and what a person reads of them (RFC 9908 section 3.4, EST-176, EST-182)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from asn1crypto import core, x509

from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.modest import ASN1CRYPTO_ERRORS

_STRINGS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}


@dataclass(frozen=True)
class FixedValue:
    """A value that goes into the request as the server says.

    Attributes:
        place: where it goes.
        oid: what it is, dotted.
        der: the value.
        text: the same for people; "der:HEX" where nothing better is known.
    """

    place: Literal["subject", "extension", "attribute"]
    oid: str
    der: bytes
    text: str


def fixed_values(wishes: CsrAttributes) -> tuple[FixedValue, ...]:
    """Every value that the server fixes, in its order; what the client fills in is not among them."""
    subject = [FixedValue("subject", one.oid, one.value, _text(one.value)) for one in wishes.subject or () if one.value]
    extensions = [
        FixedValue("extension", one.oid, one.value, _of_extension(one.oid, one.value))
        for one in wishes.extensions
        if one.value
    ]
    attributes = [
        FixedValue("attribute", element.oid, value, _text(value))
        for element in wishes.unknown
        for value in element.values
    ]
    return (*subject, *extensions, *attributes)


def _text(der: bytes) -> str:
    """The content of a string in DER's short form; hex of anything else."""
    charset = _STRINGS.get(der[0]) if len(der) >= 2 and der[1] == len(der) - 2 < 0x80 else None
    try:
        return der[2:].decode(charset) if charset else _hex(der)
    except UnicodeDecodeError:
        return _hex(der)


def _of_extension(oid: str, der: bytes) -> str:
    try:
        extension = x509.Extension({"extn_id": oid, "extn_value": core.ParsableOctetString(der)})
        found = extension["extn_value"].parsed.native
        return _hex(der) if isinstance(found, bytes) else _words(found) or _hex(der)
    except ASN1CRYPTO_ERRORS:
        return _hex(der)


def _words(value: object) -> str:
    """What asn1crypto makes of a value, as words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items() if one is not None)
    if isinstance(value, set | frozenset):
        return ", ".join(sorted(map(_words, value)))
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return _hex(value) if isinstance(value, bytes) else str(value).replace("_", " ")


def _hex(der: bytes) -> str:
    return f"der:{der.hex()}"
