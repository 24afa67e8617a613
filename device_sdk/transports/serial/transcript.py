"""The end of what a line showed, for people: printable, bounded, without the secrets that were typed."""

from __future__ import annotations

import re
import threading

from device_sdk.model.secret import Secret
from device_sdk.protocols.console.terminal import TerminalText
from device_sdk.transports.serial.hidden import Hidden

EXCERPT_CHARACTERS = 2000
_SHOWN = EXCERPT_CHARACTERS - 40  # the rest is for the note on what is left out
_KEPT = 4 * EXCERPT_CHARACTERS
# What was transferred: nobody reads it, and a console that cannot stop its echo shows files that may hold secrets.
_DATA = re.compile(r"[A-Za-z0-9+/=]{64,}")


class Transcript:
    """Secrets are taken out before anything is dropped from the front, so that no half of one is left there."""

    def __init__(self) -> None:
        self._terminal = TerminalText()
        self._text = ""
        self._dropped = 0
        self._hidden = Hidden()
        self._lock = threading.Lock()

    def hide(self, secret: Secret) -> None:
        """Take this out of every excerpt from now on, also where an echo was broken into lines."""
        self._hidden.hide(secret)

    def add(self, data: bytes) -> None:
        """What came over the line."""
        with self._lock:
            self._text += self._terminal.feed(data)
            if len(self._text) > 2 * _KEPT:
                text = self._hidden.taken_out(self._text)
                self._dropped += max(0, len(text) - _KEPT)
                self._text = text[-_KEPT:]

    def excerpt(self) -> str:
        """The last of it, at most 2,000 characters; says how much is left out before."""
        with self._lock:
            text = self._hidden.taken_out(self._text)
            text = _DATA.sub("[data]", text)
            text = self._hidden.without_beginning(text)
            left_out = self._dropped + max(0, len(text) - _SHOWN)
        return f"[{left_out} characters before]\n{text[-_SHOWN:]}" if left_out else text
