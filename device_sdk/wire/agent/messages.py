"""Requests and answers on a serial line (docs/serial-protocol.md section 4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

from device_sdk.errors import DeviceSdkError, WireError
from device_sdk.wire.agent.text import read_object, write_object

MAX_ID = 128
MAX_TEXT = 1000
BAD_MESSAGE, UNKNOWN, BUSY, REUSED = "bad-message", "unknown-operation", "busy", "id-reused"
ENROLLED, NOT_ALLOWED = "device-enrolled", "command-not-allowed"
AGENT_EXIT = 12
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CODE = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(frozen=True)
class Request:
    """What the station asks; `params` by the table in section 5, not looked at here."""

    id: str
    op: str
    params: dict[str, Any]

    def to_bytes(self) -> bytes:
        """The message; raises as write_object."""
        return write_object({"id": self.id, "op": self.op, "params": self.params})

    @classmethod
    def from_bytes(cls, data: bytes) -> Request:
        """Read one.

        Raises:
            WireError: it is none.
        """
        found = read_object(data)
        op, params = found.get("op"), found.get("params")
        if not isinstance(op, str) or not _CODE.fullmatch(op) or not isinstance(params, dict):
            raise WireError("message: no operation, or no params", what="message")
        return cls(_id_of(found), op, params)


def id_in(data: bytes) -> str:
    """The id of a message that is no request, for the answer that says so; "" where none can be read."""
    try:
        return _id_of(read_object(data))
    except WireError:
        return ""


@dataclass(frozen=True)
class Result:
    """The answer, if the device did what it was asked."""

    id: str
    result: dict[str, Any]

    def to_bytes(self) -> bytes:
        """The message; raises as write_object."""
        return write_object({"id": self.id, "result": self.result})


@dataclass(frozen=True)
class Refusal:
    """The answer, if it did not: code and exit code as of a command line, and a message for people."""

    id: str
    code: str
    message: str
    exit_code: int = AGENT_EXIT
    hint: str | None = None

    def to_bytes(self) -> bytes:
        """The message."""
        error: dict[str, Any] = {"code": self.code, "message": self.message[:MAX_TEXT], "exit_code": self.exit_code}
        if self.hint:
            error["hint"] = self.hint[:MAX_TEXT]
        return write_object({"id": self.id, "error": error})

    @classmethod
    def of(cls, request: str, error: DeviceSdkError) -> Refusal:
        """An error of the device, for the request with this id."""
        return cls(request, error.code, _shown(error.message), error.exit_code, _shown(error.hint or "") or None)


@dataclass(frozen=True)
class Progress:
    """The device is still at it, for `elapsed` seconds by now."""

    id: str
    elapsed: int
    note: str = ""

    def to_bytes(self) -> bytes:
        """The message."""
        return write_object({"id": self.id, "progress": {"elapsed": self.elapsed, "note": self.note}})


FromAgent: TypeAlias = Result | Refusal | Progress


def read_from_agent(data: bytes) -> FromAgent:
    """An answer, or a sign of life.

    Raises:
        WireError: neither.
    """
    found = read_object(data)
    kinds = [name for name in ("result", "error", "progress") if name in found]
    content = found[kinds[0]] if len(kinds) == 1 else None
    if not isinstance(content, dict):
        raise WireError("message: it is not one of result, error and progress", what="message")
    if kinds == ["error"]:
        return _refusal(found, content)
    if kinds == ["result"]:
        return Result(_id_of(found), content)
    elapsed, note = content.get("elapsed"), content.get("note", "")
    if type(elapsed) is not int or elapsed < 0 or not isinstance(note, str):
        raise WireError("message: progress without seconds", what="message")
    return Progress(_id_of(found), elapsed, _shown(note)[:MAX_TEXT])


def _refusal(found: dict[str, Any], error: dict[str, Any]) -> Refusal:
    code, message, exit_code, hint = (error.get(name) for name in ("code", "message", "exit_code", "hint"))
    if not isinstance(code, str) or not _CODE.fullmatch(code) or not isinstance(message, str):
        raise WireError("message: an error without code or message", what="message")
    if type(exit_code) is not int or not 0 <= exit_code <= 255 or not isinstance(hint, str | None):
        raise WireError("message: an error whose exit code or hint is none", what="message")
    # an agent that could not read the id says "": to whom it belongs, the station knows
    name = "" if found.get("id") == "" else _id_of(found)
    return Refusal(name, code, _shown(message)[:MAX_TEXT], exit_code, _shown(hint or "")[:MAX_TEXT] or None)


def _id_of(found: dict[str, Any]) -> str:
    value = found.get("id")
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise WireError(
            "message: no id, or not one of 1 to 128 letters, digits, dots, dashes and underscores", what="message"
        )
    return value


def _shown(text: str) -> str:
    """For people, on one line: no control characters, which a terminal would obey."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
