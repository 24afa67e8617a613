"""Secrets that were typed on a line, to be taken out of what comes back."""

from __future__ import annotations

import re
import threading

from device_sdk.model.secret import Secret
from device_sdk.protocols.console.terminal import TerminalText

_MASK = "***"


class Hidden:
    """Secrets as they were typed, also where an echo broke them into lines. Threads may share it."""

    def __init__(self) -> None:
        self._found: dict[str, re.Pattern[str]] = {}
        self._turn = threading.Lock()

    def hide(self, secret: Secret) -> None:
        """Take this out from now on."""
        text = TerminalText().feed(secret.reveal())
        if not text.strip():
            return
        pattern = re.compile(r"\s*".join(map(re.escape, "".join(text.split()))))
        with self._turn:
            self._found = self._found | {text: pattern}

    def taken_out(self, text: str, least: int = 1) -> str:
        """A text without them.

        Args:
            text: what was shown, or said.
            least: how many characters a secret has to have at least, to count.
        """
        for secret, pattern in self._found.items():
            if len(secret) >= least:
                text = pattern.sub(_MASK, text)
        return text

    def is_in(self, octets: bytes, least: int = 1) -> bool:
        """Whether octets hold one, in characters of one octet or more (a name in DER, for instance).

        Args:
            octets: what was sent.
            least: as for `taken_out`.
        """
        text = octets.replace(b"\0", b"").decode("latin-1")
        return self.taken_out(text, least) != text

    def without_beginning(self, text: str) -> str:
        """A text at whose end an echo has come as far as the middle of a secret."""
        for secret in self._found:
            for length in range(len(secret) - 1, 2, -1):
                if text.endswith(secret[:length]):
                    text = text[:-length] + _MASK
                    break
        return text
