"""What hostile devices say instead of the truth."""

from __future__ import annotations

import base64
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from device_sdk_simulators.serial.board import Board, sign
from device_sdk_simulators.serial.board_request import build_request, read_configuration

_LONG = 1 << 30
_PIECE = 1 << 16
ESCAPES = "\x1b[2J\x1b[1;1H\x1b]0;owned\x07\x1b[31m\x9b5n\x1bP$q\x1b\\\r\b\b\x00\x7f\u202e"
"""Clears a screen, sets a title, asks the terminal to type, turns text round."""
HTML = '<script>fetch("/x")</script>"\'><img src=x onerror=alert(1)>&amp;'
_PATHS = "../../../../etc/passwd"
_FORMULA = '=HYPERLINK("http://x.example")'


class Endless:
    """Output that never ends, or after a gigabyte, made as it is sent."""

    def __init__(self, hostile: frozenset[str]) -> None:
        self._endless = "endless" in hostile
        self._left = _LONG if "long-line" in hostile else 0
        self._line = 0

    def more(self) -> bytes:
        """The next piece."""
        if self._left:
            self._left -= _PIECE
            return b"A" * _PIECE
        if not self._endless:
            return b""
        self._line += 1
        return b"".join(b"line %d of many\r\n" % (self._line * 100 + index) for index in range(100))


def spoil_facts(facts: dict[str, Any], hostile: frozenset[str]) -> dict[str, Any]:
    """The facts as such a device states them."""
    if "html" in hostile:
        facts = facts | {"model": HTML, "extra": {"batch": _PATHS, HTML: _FORMULA, "note": "{{7*7}}%n%s"}}
    if "controls" in hostile:
        facts = facts | {"model": f"Board{ESCAPES}", "extra": {"banner": ESCAPES * 4}}
    return facts


def spoil_result(operation: str, result: dict[str, Any], board: Board, hostile: frozenset[str]) -> dict[str, Any]:
    """What the device answers instead of `result`; binary values are base64 there."""
    if operation == "facts":
        return spoil_facts(result, hostile)
    if operation == "request" and "other-csr" in hostile:
        other = ec.generate_private_key(ec.SECP256R1())
        mac = board.macs[0] if board.macs else None
        csr = build_request(other, read_configuration(board.config or b""), board.serial_number, mac, b"")
        return {"csr": base64.b64encode(csr).decode()}
    if operation == "prove" and "bad-proof" in hostile:
        # what the board wrote down is not what the station gets
        board.history.pop()
        board.note("false-proof")
        signature = sign(ec.generate_private_key(ec.SECP256R1()), b"something else")
        return result | {"signature": base64.b64encode(signature).decode()}
    return result
