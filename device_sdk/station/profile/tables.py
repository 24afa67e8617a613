"""Reading a table of a profile: every key is known, every value has its type and its bounds."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from device_sdk.errors import ConfigurationError

MAX_TEXT = 4096
MAX_LIST = 256

_SECRETS = re.compile(r"(password|passphrase|pin|secret|token)(_value)?")


class Table:
    """One table of a profile, read key by key; `end` refuses what was not asked for.

    Args:
        values: what TOML says.
        name: as in the file, "[est]"; "" for the file itself.
        file: the profile, for messages; relative paths begin in its directory.

    Raises:
        ConfigurationError: from every method, for a value of another type or out of bounds.
    """

    def __init__(self, values: Mapping[str, Any], name: str, file: Path) -> None:
        self._values = values
        self._known: list[str] = []
        self.name, self.file = name, file

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str, default: str | None = None, *, choices: Iterable[str] = (), limit: int = MAX_TEXT) -> str:
        """A text; required unless there is a default."""
        value = self._get(key)
        if value is None:
            if default is None:
                raise self.error(key, "is missing")
            return default
        if not isinstance(value, str) or not value:
            raise self.error(key, "has to be a text")
        if len(value) > limit:
            raise self.error(key, f"is longer than {limit} characters")
        allowed = tuple(choices)
        if allowed and value not in allowed:
            raise self.error(key, f"cannot be {value!r}", hint=f"one of: {', '.join(allowed)}")
        return value

    def word(self, key: str) -> str:
        """A text, or a whole number as text; required."""
        value = self._get(key)
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else self.text(key)

    def optional(self, key: str) -> str | None:
        """A text, or None."""
        return self.text(key) if self._get(key) is not None else None

    def path(self, key: str) -> Path | None:
        """A path, absolute or beginning in the profile's directory; None if it is not given."""
        text = self.optional(key)
        if text is None:
            return None
        if "\0" in text:
            raise self.error(key, "cannot be a path")
        return self.file.parent / text

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, none if it is not given."""
        value = self._get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise self.error(key, "has to be a list of texts")
        if len(value) > MAX_LIST or any(len(one) > MAX_TEXT for one in value):
            raise self.error(key, f"has more than {MAX_LIST} entries, or one of more than {MAX_TEXT} characters")
        return tuple(value)

    def switch(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(key, "has to be true or false")
        return value

    def number(self, key: str, default: float, *, least: float, most: float) -> float:
        """A number within bounds."""
        value = self._get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self.error(key, f"has to be a number from {least:g} to {most:g}")
        return float(value)

    def whole(self, key: str, default: int, *, least: int, most: int) -> int:
        """A whole number within bounds."""
        number = self.number(key, default, least=least, most=most)
        if number != int(number):
            raise self.error(key, "has to be a whole number")
        return int(number)

    def pattern(self, key: str) -> re.Pattern[str] | None:
        """A regular expression, or None."""
        text = self.optional(key)
        if text is None:
            return None
        try:
            return re.compile(text, re.ASCII)
        except re.error as error:
            raise self.error(key, f"is no regular expression: {error}") from error

    def table(self, key: str) -> Table:
        """A table below this one, empty if it is not given."""
        value = self._get(key)
        if value is not None and not isinstance(value, dict):
            raise self.error(key, "has to be a table")
        return Table(value or {}, self._below(key), self.file)

    def tables(self, key: str) -> list[Table]:
        """A list of tables, [[like.this]]."""
        value = self._get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self.error(key, "has to be a list of tables")
        if len(value) > MAX_LIST:
            raise self.error(key, f"has more than {MAX_LIST} entries")
        return [Table(one, f"{self._below(key)}[{number}]", self.file) for number, one in enumerate(value, 1)]

    def rest(self) -> dict[str, Any]:
        """Everything that was not asked for by name: for tables whose keys are the author's."""
        found = {key: value for key, value in self._values.items() if key not in self._known}
        self._known += found
        return found

    def end(self) -> None:
        """No key is left.

        Raises:
            ConfigurationError: there is one, which nobody asked for; names the nearest one there is.
        """
        for key in self._values:
            if key in self._known:
                continue
            if _SECRETS.fullmatch(key):
                raise self.error(key, "is not taken: a profile holds no secrets", hint=f"name the file: {key}_file")
            near = difflib.get_close_matches(key, self._known, 1, 0.5)
            known = f"did you mean {near[0]}?" if near else f"there are: {', '.join(self._known)}"
            raise self.error(key, "is not known here", hint=known)

    def error(self, key: str, words: str, *, hint: str | None = None) -> ConfigurationError:
        """The error about one of its keys, to be raised."""
        shown = key if key.isprintable() and len(key) <= 64 else ascii(key)[:64]
        where = f"[{self.name}] " if self.name else ""
        return ConfigurationError(f"{self.file}: {where}{shown} {words}", hint=hint)

    def _get(self, key: str) -> Any:
        if key not in self._known:
            self._known.append(key)
        return self._values.get(key)

    def _below(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key
