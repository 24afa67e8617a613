"""A line editor like busybox's: echo, wrapping at 80 columns, lines cut off at about a thousand characters."""

from __future__ import annotations

import re

WIDTH = 80
LONGEST = 1022
ASK_CURSOR = b"\x1b[6n"
_ESCAPE = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|O.|[^\[O])")
_BEGIN = re.compile(rb"\x1b(\[[0-?]*[ -/]*|O)?$")
_LINE_KILL, _WORD_KILL, _INTERRUPT, _END = 0x15, 0x17, 0x03, 0x04


class Editor:
    """One prompt after the other. `feed` gives what is echoed; `line` is the line when it is complete."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._column = 0
        self._escape = b""
        self.line: bytes | None = None
        self.interrupted = False

    def prompt(self, text: bytes) -> bytes:
        """Begin a line; what is shown: the prompt, and the question where the cursor is."""
        self._text.clear()
        self._escape = b""
        self.line, self.interrupted = None, False
        self._column = len(text) % WIDTH
        return text + ASK_CURSOR

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Keys; the echo, and what is left of the keys when the line is complete or interrupted."""
        echo = bytearray()
        for index, byte in enumerate(data):
            if self._escape or byte == 0x1B:
                self._swallow(byte)
            elif byte in b"\r\n":
                self.line = bytes(self._text)
                return bytes(echo + b"\r\n"), data[index + 1 :]
            elif byte == _INTERRUPT or (byte == _END and not self._text):
                self.interrupted = True
                self.line = b"" if byte == _INTERRUPT else b"exit"
                return bytes(echo + (b"^C\r\n" if byte == _INTERRUPT else b"\r\n")), data[index + 1 :]
            else:
                echo += self._key(byte)
        return bytes(echo), b""

    def _swallow(self, byte: int) -> None:
        """Arrow keys, answers about the cursor and brackets around what is pasted do nothing."""
        self._escape += bytes([byte])
        if _ESCAPE.match(self._escape) or not _BEGIN.match(self._escape):
            self._escape = b""

    def _key(self, byte: int) -> bytes:
        if byte in (8, 127):
            return self._back(1)
        if byte == _LINE_KILL:
            return self._back(len(self._text))
        if byte == _WORD_KILL:
            kept = self._text.rstrip().rfind(b" ") + 1
            return self._back(len(self._text) - kept)
        if byte < 32 or len(self._text) >= LONGEST:
            return b""
        self._text.append(byte)
        self._column += 1
        if self._column < WIDTH:
            return bytes([byte])
        self._column = 0
        return bytes([byte]) + b" \b"

    def _back(self, count: int) -> bytes:
        count = min(count, len(self._text))
        del self._text[len(self._text) - count :]
        self._column = max(0, self._column - count)
        return b"\b \b" * count
