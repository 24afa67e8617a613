"""The operations of docs/serial-protocol.md section 5 on a board: params in, result out, for every way to talk to it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from device_sdk_simulators.serial.board import Board
from device_sdk_simulators.serial.refusal import RefusalError

_CHANGING = ("configure", "create-key", "request", "install", "enrol")
_TEXT, _BOOLEAN, _BINARY, _WORDS, _SECONDS = "text", "boolean", "binary", "words", "seconds"
_OPTIONAL: dict[str, dict[str, object]] = {"create-key": {"again": False}}
_PARAMS: dict[str, dict[str, str]] = {
    "facts": {},
    "configure": {"config": _BINARY, "anchors": _BINARY},
    "create-key": {"uri": _TEXT, "type": _TEXT, "file_allowed": _BOOLEAN, "again": _BOOLEAN},
    "request": {"csrattrs": _BINARY},
    "install": {"answer": _BINARY, "ca_certificates": _BINARY},
    "enrol": {},
    "prove": {"nonce": _BINARY},
    "run": {"command": _WORDS, "timeout": _SECONDS},
}
OPERATIONS = tuple(_PARAMS)
"""What a device can be asked."""


def changes(operation: str) -> bool:
    """Whether a device that is enrolled already refuses it."""
    return operation in _CHANGING


def takes_long(board: Board, operation: str) -> bool:
    """Whether it blocks for a network, for big numbers or for tools."""
    return operation in ("enrol", "create-key") or (board.keys.blocks and operation in ("request", "prove"))


def read_params(operation: str, params: dict[str, object]) -> dict[str, Any]:
    """Checked params, binary ones as bytes; RefusalError bad-message or unknown-operation."""
    wanted = _PARAMS.get(operation)
    if wanted is None:
        raise RefusalError("unknown-operation", f"no operation {operation[:40]}", 12)
    params = _OPTIONAL.get(operation, {}) | params
    if params.keys() != wanted.keys():
        raise _bad(f"{operation} takes {', '.join(wanted) or 'no params'}")
    return {name: _READERS[kind](name, params[name]) for name, kind in wanted.items()}


def _bad(text: str) -> RefusalError:
    return RefusalError("bad-message", text, 12)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _bad(f"{name} is no text")
    return value


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _bad(f"{name} is neither true nor false")
    return value


def _binary(name: str, value: object) -> bytes:
    try:
        return base64.b64decode(_text(name, value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad(f"{name} is not base64") from error


def _words(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= 32:
        raise _bad(f"{name} is no list of 1 to 32 texts")
    words = tuple(_text(name, one) for one in value)
    if max(map(len, words)) > 1024:
        raise _bad(f"{name}: a text is too long")
    return words


def _seconds(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 3600:
        raise _bad(f"{name} is no number from 1 to 3600")
    return value


_READERS: dict[str, Callable[[str, object], Any]] = {
    _TEXT: _text,
    _BOOLEAN: _boolean,
    _BINARY: _binary,
    _WORDS: _words,
    _SECONDS: _seconds,
}


def perform(board: Board, operation: str, params: dict[str, Any]) -> dict[str, Any]:
    """Do it; RefusalError."""
    return _DOING[operation](board, params)


def _facts(board: Board, _params: dict[str, Any]) -> dict[str, Any]:
    return board.facts()


def _configure(board: Board, params: dict[str, Any]) -> dict[str, Any]:
    board.configure(params["config"], params["anchors"])
    return {}


def _create_key(board: Board, params: dict[str, Any]) -> dict[str, Any]:
    made = board.create_key(params["uri"], params["type"], file_allowed=params["file_allowed"], again=params["again"])
    return {
        "uri": made.uri,
        "type": made.type,
        "public_key": _encoded(made.public_key),
        "attestation": made.attestation,
    }


def _request(board: Board, params: dict[str, Any]) -> dict[str, Any]:
    return {"csr": _encoded(board.request(params["csrattrs"]))}


def _install(board: Board, params: dict[str, Any]) -> dict[str, Any]:
    return {"certificate": board.install(params["answer"], params["ca_certificates"])}


def _enrol(board: Board, _params: dict[str, Any]) -> dict[str, Any]:
    return {"certificate": board.enrol()}


def _prove(board: Board, params: dict[str, Any]) -> dict[str, Any]:
    certificate, signature = board.prove(params["nonce"])
    return {"certificate": _encoded(certificate), "signature": _encoded(signature)}


def _run(board: Board, params: dict[str, Any]) -> dict[str, Any]:
    status, output = board.run(params["command"])
    return {"status": status, "output": output}


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


_DOING: dict[str, Callable[[Board, dict[str, Any]], dict[str, Any]]] = {
    "facts": _facts,
    "configure": _configure,
    "create-key": _create_key,
    "request": _request,
    "install": _install,
    "enrol": _enrol,
    "prove": _prove,
    "run": _run,
}
