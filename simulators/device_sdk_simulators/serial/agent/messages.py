"""Messages of the serial protocol (docs/serial-protocol.md section 4): strict JSON in, and out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

MOST_MESSAGE = 524_288
_MOST_DEPTH = 8
_MOST_COMMAS = 10_000
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_HALF = re.compile("[\ud800-\udfff]")
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class BadMessageError(ValueError):
    """Not a request; `id` is the one it has, or ""."""

    def __init__(self, text: str, request_id: str = "") -> None:
        super().__init__(text)
        self.id = request_id


@dataclass(frozen=True)
class Request:
    """A request of the station."""

    id: str
    operation: str
    params: dict[str, object]


def read_request(message: bytes) -> Request:
    """The request in a message; BadMessageError."""
    value = read_object(message)
    request_id = value.get("id")
    if not isinstance(request_id, str) or not _ID.fullmatch(request_id):
        raise BadMessageError("no id")
    operation, params = value.get("op"), value.get("params")
    if not isinstance(operation, str) or not isinstance(params, dict):
        raise BadMessageError("no operation, or no params", request_id)
    return Request(request_id, operation, params)


def read_object(message: bytes) -> dict[str, object]:
    """A JSON object as section 4 has it; BadMessageError."""
    try:
        # what is not ASCII, or a control character, is none of JSON's here
        text = message.decode("ascii")
        if not text.isprintable():
            raise BadMessageError("characters that are not printable")
        if _STRING.sub("", text).count(",") > _MOST_COMMAS:
            raise BadMessageError("too many values")
        value = json.loads(
            text, object_pairs_hook=_unique, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number
        )
    except BadMessageError:
        raise
    except (ValueError, RecursionError) as error:
        raise BadMessageError("not JSON") from error
    if not isinstance(value, dict):
        raise BadMessageError("not an object")
    if _HALF.search(json.dumps(value, ensure_ascii=False)):
        raise BadMessageError("half a surrogate pair")
    if _depth(value) > _MOST_DEPTH:
        raise BadMessageError("too deep")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadMessageError("a name is there twice")
    return found


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > 15:
        raise BadMessageError("a number is too long")
    return int(text)


def _no_number(_text: str) -> object:
    raise BadMessageError("a number is no integer")


def _depth(value: object) -> int:
    deepest, level = 0, [value]
    while containers := [one for one in level if isinstance(one, (dict, list))]:
        deepest += 1
        level = [inner for one in containers for inner in (one.values() if isinstance(one, dict) else one)]
    return deepest


def write_object(value: dict[str, object]) -> bytes:
    """A message: ASCII, no white space."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()
