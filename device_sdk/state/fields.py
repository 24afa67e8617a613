"""JSON files with a version, read strictly: what is not understood is refused, not guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from device_sdk.errors import ConfigurationError, StateCorruptError, StateError
from device_sdk.protocols.est.urls import origin_of
from device_sdk.wire.cale import is_guid
from device_sdk.wire.key_uri import parse_key_uri

VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEX = re.compile(r"(?:[0-9a-f]{2}){1,64}")


def dump(content: Mapping[str, object]) -> bytes:
    """A file of the present version: JSON, indented, keys in the order given, UTF-8, final newline."""
    return (json.dumps({"version": VERSION} | dict(content), indent=2, ensure_ascii=False) + "\n").encode()


def format_time(moment: datetime | None) -> str | None:
    """A time as RFC 3339 in UTC, whole seconds."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Fields:
    """The members of one JSON object, checked as they are taken.

    Args:
        path: the file, for error messages.
        content: the object.
        where: its place inside the file ("current"), or an empty string.
    """

    def __init__(self, path: Path, content: object, where: str = "") -> None:
        self._path = path
        self._where = where
        if not isinstance(content, dict):
            self._corrupt(f"{where or 'the content'} is not an object")
        self._content: dict[str, object] = content

    @classmethod
    def parse(cls, path: Path, data: bytes) -> Fields:
        """Read a whole file.

        Raises:
            StateCorruptError: not JSON, or not of our shape.
            StateError: written by a newer version of the SDK.
        """
        try:
            content = json.loads(data.decode())
        except (ValueError, RecursionError) as error:
            raise _corrupt(path, f"not JSON: {error}") from error
        fields = cls(path, content)
        version = fields.take("version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            fields._corrupt("version is not a positive number")
        if version > VERSION:
            raise StateError(
                f"{path}: written by a newer device-sdk (format {version}; this one reads up to {VERSION})",
                hint="install that newer version again; this one changes nothing here",
                path=str(path),
            )
        return fields

    def take(self, name: str) -> object:
        """A member as it is; None if it is absent."""
        return self._content.get(name)

    def text(self, name: str) -> str:
        """A string that must be there."""
        value = self.optional_text(name)
        if value is None:
            self._corrupt(f"{self._name(name)} is missing")
        return value

    def optional_text(self, name: str) -> str | None:
        """A string, or None."""
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            self._corrupt(f"{self._name(name)} is not text")
        return value

    def key_uri(self, name: str) -> str:
        """A key URI that must be there."""
        value = self.optional_key_uri(name)
        if value is None:
            self._corrupt(f"{self._name(name)} is missing")
        return value

    def optional_key_uri(self, name: str) -> str | None:
        """A key URI, or None."""
        value = self.optional_text(name)
        if value:  # empty for a key that no keystore opens
            try:
                parse_key_uri(value)
            except ConfigurationError:
                self._corrupt(f"{self._name(name)} is not a key URI")
        return value

    def origin(self, name: str) -> str:
        """The origin of an https server that must be there."""
        value = self.text(name)
        try:
            good = origin_of(value) == value
        except ConfigurationError:
            good = False
        if not good:
            self._corrupt(f"{self._name(name)} is not an https origin")
        return value

    def guid(self, name: str) -> str:
        """A GUID that must be there."""
        value = self.text(name)
        if not is_guid(value):
            self._corrupt(f"{self._name(name)} is not a GUID")
        return value

    def optional_texts(self, name: str) -> tuple[str, ...] | None:
        """A list of strings, or None."""
        value = self.take(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            self._corrupt(f"{self._name(name)} is not a list of texts")
        return None if value is None else tuple(value)

    def digest(self, name: str) -> str:
        """A SHA-256 in hex that must be there; it also names a file, so nothing else is let through."""
        value = self.optional_digest(name)
        if value is None:
            self._corrupt(f"{self._name(name)} is missing")
        return value

    def optional_digest(self, name: str) -> str | None:
        """A SHA-256 in hex, or None."""
        value = self.optional_text(name)
        if value is not None and not _SHA256.fullmatch(value):
            self._corrupt(f"{self._name(name)} is not a SHA-256")
        return value

    def optional_hex(self, name: str) -> str | None:
        """Bytes in lower-case hex, one to 64 of them, or None."""
        value = self.optional_text(name)
        if value is not None and not _HEX.fullmatch(value):
            self._corrupt(f"{self._name(name)} is not hex")
        return value

    def flag(self, name: str) -> bool:
        """True or false, which must be there."""
        value = self.take(name)
        if not isinstance(value, bool):
            self._corrupt(f"{self._name(name)} is not true or false")
        return value

    def optional_flag(self, name: str) -> bool:
        """True or false; absent, as in files of older versions, is false."""
        return self.take(name) is not None and self.flag(name)

    def number(self, name: str) -> int:
        """A whole number above 0 that must be there."""
        value = self.take(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            self._corrupt(f"{self._name(name)} is not a positive number")
        return value

    def time(self, name: str) -> datetime:
        """A time that must be there."""
        value = self.optional_time(name)
        if value is None:
            self._corrupt(f"{self._name(name)} is missing")
        return value

    def optional_time(self, name: str) -> datetime | None:
        """A time with its zone, or None."""
        value = self.optional_text(name)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self._corrupt(f"{self._name(name)} is not a time")
        if moment.tzinfo is None:
            self._corrupt(f"{self._name(name)} has no time zone")
        return moment.astimezone(UTC)

    def objects(self, name: str) -> tuple[Fields, ...]:
        """A list of objects; absent is empty."""
        value = self.take(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            self._corrupt(f"{self._name(name)} is not a list")
        return tuple(Fields(self._path, item, f"{self._name(name)}[{index}]") for index, item in enumerate(value))

    def optional_object(self, name: str) -> Fields | None:
        """An object, or None."""
        value = self.take(name)
        return None if value is None else Fields(self._path, value, self._name(name))

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        """A string out of a few."""
        value = self.text(name)
        if value not in allowed:
            self._corrupt(f"{self._name(name)} is {value!r}, which this version does not know")
        return value

    def _name(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def _corrupt(self, what: str) -> NoReturn:
        raise _corrupt(self._path, what)


def _corrupt(path: Path, what: str) -> StateCorruptError:
    return StateCorruptError(
        f"{path}: cannot be understood: {what}",
        hint=f"restore {path.name} from a backup, or move {path.parent} away and enrol again",
        path=str(path),
    )
