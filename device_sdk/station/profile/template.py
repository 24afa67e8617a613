"""The configuration that a device gets: a TOML file in whose strings ${name} stands for what the device said.

The template is read as TOML first and written anew after that, so that nothing a device says can become anything but a part
of a string; and of one value where the string is a name, for which a station vouches (`naming`).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any, TypeAlias

from device_sdk.errors import ConfigurationError
from device_sdk.station.profile.naming import check_names, in_alternative, in_subject
from device_sdk.station.profile.words import OF_CERTIFICATE, filled, places, unknown_name

MAX_BYTES = 64 * 1024
_MAX_DEPTH = 8
_Fill: TypeAlias = Callable[[str, Mapping[str, str]], str]
_SYNTAX: Mapping[tuple[str, ...], _Fill] = {
    ("identity", "subject"): in_subject,
    ("identity", "san"): in_alternative,
}
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Template:
    """A configuration with places for a device's words.

    Attributes:
        values: what the TOML file says.
    """

    values: Mapping[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, text: str, source: str) -> Template:
        """Read a template.

        Args:
            text: the TOML file.
            source: where it is from, for messages.

        Raises:
            ConfigurationError: no TOML, too long, a name that nothing stands for, or identity.subject and identity.san are none.
        """
        if len(text.encode()) > MAX_BYTES:
            raise ConfigurationError(f"{source}: longer than {MAX_BYTES} bytes")
        try:
            values = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigurationError(f"{source}: is no TOML: {error}") from error
        for one in _texts(values, source):
            name = unknown_name(one)
            if name is not None:
                raise ConfigurationError(
                    f"{source}: nothing stands for ${{{name}}}", hint="$$ stands for a dollar sign itself"
                )
            if early := OF_CERTIFICATE.intersection(places(one)):
                raise ConfigurationError(
                    f"{source}: nothing stands for ${{{min(early)}}} yet when a device is configured"
                )
        identity = values.get("identity")
        if isinstance(identity, dict):
            check_names(identity.get("subject"), identity.get("san"), source)
        return cls(values)

    def render(self, words: Mapping[str, str]) -> bytes:
        """The configuration of one device, in UTF-8.

        Raises:
            WrongDeviceError: the device did not say what is needed, or nothing that can be used.
            ConfigurationError: it became longer than 64 KiB.
        """
        data = "".join(_table(self.values, words, ())).encode()
        if len(data) > MAX_BYTES:
            raise ConfigurationError(f"the device's configuration is longer than {MAX_BYTES} bytes")
        return data


def _texts(value: Any, source: str, depth: int = 0) -> Iterator[str]:
    """Every string in which a place may be. Keys have none."""
    if depth > _MAX_DEPTH:
        raise ConfigurationError(f"{source}: more than {_MAX_DEPTH} levels")
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one, source, depth + 1)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, source, depth + 1)


def _table(values: Mapping[str, Any], words: Mapping[str, str], path: tuple[str, ...]) -> Iterator[str]:
    below = {key: value for key, value in values.items() if isinstance(value, dict)}
    for key, value in values.items():
        if key not in below:
            fill = _SYNTAX.get((*path, key), filled)
            yield f"{_key(key)} = {_value(value, words, fill)}\n"
    for key, value in below.items():
        here = (*path, key)
        yield f"\n[{'.'.join(map(_key, here))}]\n"
        yield from _table(value, words, here)


def _value(value: Any, words: Mapping[str, str], fill: _Fill) -> str:
    if isinstance(value, str):
        return _string(fill(value, words))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_value(one, words, fill) for one in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(one, words, fill)}" for key, one in value.items()) + " }"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)  # a number; Python writes them as TOML does, inf and nan too


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    # a basic string of TOML takes JSON's escapes; DEL is the one character that JSON leaves and TOML does not take
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
