"""The PSKC attributes of a key package and of its keys (RFC 6031 section 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from device_sdk.wire.cms.reader import INTEGER, SEQUENCE, SET, Reader

MAX_ATTRIBUTES = 64
MAX_TEXT_BYTES = 1024

PSKC = "1.2.840.113549.1.9.16.12"
DEVICE_BINDING = f"{PSKC}.5"
KEY_ID = f"{PSKC}.9"
ALGORITHM = f"{PSKC}.10"
FRIENDLY_NAME = f"{PSKC}.14"
KEY_START, KEY_EXPIRY = f"{PSKC}.21", f"{PSKC}.22"
TRANSACTIONS = f"{PSKC}.23"
KEY_USAGE = f"{PSKC}.24"
PIN_POLICY = f"{PSKC}.25"

_TEXTS = frozenset(f"{PSKC}.{number}" for number in (1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 26, 27))
_TIMES = frozenset(f"{PSKC}.{number}" for number in (6, 7, 21, 22))
_UTF8, _GENERALIZED_TIME = 0x0C, 0x18
_MAX_USAGES = 16


@dataclass(frozen=True)
class Attributes:
    """Attributes of one key, those of its package among them.

    Attributes:
        values: DER of the one value of each, by object identifier.
    """

    values: MappingProxyType[str, bytes] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def text(self, oid: str) -> str | None:
        """One that is a string; None if it is not there."""
        return _text(Reader(self.values[oid])) if oid in self.values else None

    def time(self, oid: str) -> datetime | None:
        """One that is a time; None if it is not there."""
        return _time(Reader(self.values[oid])) if oid in self.values else None

    @property
    def friendly_name(self) -> str | None:
        """What people call the key."""
        return _text(Reader(self.values[FRIENDLY_NAME]).enter()) if FRIENDLY_NAME in self.values else None

    @property
    def usages(self) -> tuple[str, ...] | None:
        """What the key may be used for, in the words of RFC 6031 section 3.3.4; None if that is not said."""
        return _usages(Reader(self.values[KEY_USAGE]).enter()) if KEY_USAGE in self.values else None


def read_attributes(members: Reader) -> Attributes:
    """Read a SEQUENCE OF Attribute, each with one value; those of kinds that are known have to be well-formed.

    Args:
        members: inside the sequence.

    Raises:
        ValueError: no attribute, one twice, none or several values, a value that is not of its type, or too many.
    """
    found: dict[str, bytes] = {}
    while members.next_tag is not None:
        attribute = members.enter()
        oid, values = attribute.oid(), attribute.enter(SET)
        attribute.finish()
        value = values.element()
        values.finish()
        if oid in found or len(found) == MAX_ATTRIBUTES:
            raise ValueError("an attribute twice, or too many of them")
        _check(oid, value)
        found[oid] = value
    if not found:
        raise ValueError("a list of attributes without any")
    return Attributes(MappingProxyType(found))


def joined(package: Attributes, key: Attributes) -> Attributes:
    """Those of a key together with those of its package; ValueError if one is in both (RFC 6031 section 2)."""
    if package.values.keys() & key.values.keys():
        raise ValueError("an attribute of the package that a key has again")
    return Attributes(MappingProxyType({**package.values, **key.values}))


def _check(oid: str, value: bytes) -> None:
    reader = Reader(value)
    if oid in _TEXTS:
        _text(reader)
    elif oid in _TIMES:
        _time(reader)
    elif oid == FRIENDLY_NAME:
        _text(reader.enter())
    elif oid == KEY_USAGE:
        _usages(reader.enter())
    elif oid == TRANSACTIONS:
        reader.contents(INTEGER)
    elif oid == PIN_POLICY:
        reader.contents(SEQUENCE)


def _text(reader: Reader) -> str:
    contents = reader.contents(_UTF8)
    if len(contents) > MAX_TEXT_BYTES:
        raise ValueError("a text that is too long")
    text = contents.decode()  # UnicodeDecodeError is a ValueError
    if not text or not text.isprintable():
        raise ValueError("a text that is empty, or not one to show")
    return text


def _time(reader: Reader) -> datetime:
    text = reader.contents(_GENERALIZED_TIME).decode("ascii")
    if not text.endswith("Z"):
        raise ValueError("a time that is not UTC")
    whole, _, fraction = text[:-1].partition(".")
    if len(whole) != 14 or not (whole + fraction).isdigit():
        raise ValueError("not a time")
    month, day, hour, minute, second = (int(whole[at : at + 2]) for at in range(4, 14, 2))
    try:
        return datetime(int(whole[:4]), month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise ValueError("not a time") from error


def _usages(members: Reader) -> tuple[str, ...]:
    found: list[str] = []
    while members.next_tag is not None:
        found.append(_text(members))
        if len(found) > _MAX_USAGES:
            raise ValueError("too many usages")
    if not found:
        raise ValueError("a list of usages without any")
    return tuple(dict.fromkeys(found))
