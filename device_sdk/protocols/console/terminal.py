"""What a person would have read on a terminal: no escape sequences, no control characters."""

from __future__ import annotations

import codecs
import re

_STRING_STARTS = "]PX^_"  # OSC, DCS, SOS, PM, APC: up to BEL or ST
_LONGEST_SEQUENCE = 256
_RUNS = re.compile(r"[ -~]+|.", re.DOTALL)


class TerminalText:
    r"""Takes bytes as they come and gives their text; what it keeps between two calls is bounded.

    Lines end in "\n" whichever of "\r\n", "\n" and a lone "\r" came. What is neither printable nor a line's end or a tab is
    left out (escape sequences of ECMA-48, control characters, bidirectional overrides); bytes that are not UTF-8 become U+FFFD.
    A sequence that does not end within its line or 256 characters is none: it was noise, and ends there.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._sequence = ""
        self._after_return = False

    def feed(self, data: bytes) -> str:
        """The text of what came now; a sequence that is cut in the middle is waited for."""
        return "".join(map(self._run, _RUNS.findall(self._decoder.decode(data))))

    def _run(self, run: str) -> str:
        if self._sequence or self._after_return or len(run) == 1:
            return "".join(map(self._character, run))
        return run

    def _character(self, character: str) -> str:
        if self._sequence:
            return self._in_sequence(character)
        if character == "\x1b":
            self._sequence = character
            return ""
        after_return, self._after_return = self._after_return, character == "\r"
        if character == "\r":
            return "\n"
        if character == "\n":
            return "" if after_return else character
        return character if character == "\t" or character.isprintable() else ""

    def _in_sequence(self, character: str) -> str:
        if character in "\r\n\x18\x1a" or len(self._sequence) >= _LONGEST_SEQUENCE:
            self._sequence = ""
            return "" if character in "\x18\x1a" else self._character(character)
        if character == "\x1b":
            self._sequence = character
            return ""
        self._sequence += character
        if _ended(self._sequence):
            self._sequence = ""
        return ""


def _ended(sequence: str) -> bool:
    kind, last = sequence[1], sequence[-1]
    if kind == "[":
        return len(sequence) > 2 and "@" <= last <= "~"
    if kind in _STRING_STARTS:
        return last == "\x07"
    return not " " <= last <= "/"
