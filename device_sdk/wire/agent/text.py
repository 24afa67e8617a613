"""The JSON of messages on a serial line, with bounds on everything (docs/serial-protocol.md section 4)."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from device_sdk.errors import WireError
from device_sdk.wire.agent.frames import MAX_MESSAGE

MAX_DEPTH = 8
MAX_DIGITS = 15
# one that does not end goes to the end of the data: otherwise every quote in it would be tried as a beginning
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)')
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_BRACKETS = re.compile(rb"[\[\]{}]")
_PRINTABLE = re.compile(rb"[ -~]+")
# what is held in memory is many times what is written: `[[],[],...]`
_MAX_ITEMS = 10_000


def write_object(content: dict[str, Any]) -> bytes:
    """A JSON object as a message: printable ASCII without white space.

    Raises:
        WireError: longer than a message may be, or of something that JSON cannot say.
    """
    try:
        data = json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise WireError(f"this cannot be said in JSON: {exc}", what="message") from exc
    if len(data) > MAX_MESSAGE:
        raise WireError(f"a message of {len(data)} octets, the limit is {MAX_MESSAGE}", what="message")
    return data


def read_object(data: bytes) -> dict[str, Any]:
    """A JSON object out of a message or a hello.

    Raises:
        WireError: not a JSON object of printable ASCII, longer or deeper than allowed, a name twice, a fraction, or a
            number with more than 15 digits.
    """
    if len(data) > MAX_MESSAGE or not _PRINTABLE.fullmatch(data):
        _refuse("it is too long, or not printable ASCII")
    _check_depth(data)
    try:
        found = json.loads(
            data, object_pairs_hook=_once, parse_int=_integer, parse_float=_refuse, parse_constant=_refuse
        )
    except (ValueError, RecursionError) as exc:
        raise WireError(f"message: {exc}", what="message") from exc
    if not isinstance(found, dict):
        _refuse("it is not an object")
    if _SURROGATE.search(data):
        _check_pairs(found)
    return found


def _check_pairs(found: dict[str, Any]) -> None:
    """Half a character has no UTF-8, and would fail wherever it is written to."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        raise WireError("message: it has half a character", what="message") from exc


def _check_depth(data: bytes) -> None:
    """Before the parser recurses."""
    depth, plain = 0, _STRING.sub(b"", data)
    if plain.count(b",") > _MAX_ITEMS:
        _refuse("it has too many members")
    for match in _BRACKETS.finditer(plain):
        depth += 1 if match[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            _refuse(f"it is nested deeper than {MAX_DEPTH}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _refuse("a name is there twice")
    return found


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        _refuse("a number has too many digits")
    return int(text)


def _refuse(reason: str) -> NoReturn:
    raise WireError(f"message: {reason[:80]}", what="message")
