"""The receiving half of one side: frames to messages, whole, once and in order (docs/serial-protocol.md section 3.3)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from device_sdk.wire.agent.frames import BEGIN, MAX_MESSAGE, Frame

_HEAD = re.compile(rb"([0-9a-f]{6})([0-9a-f]{64})([ -~]+)")


@dataclass
class Unfinished:
    """A message of which the beginning is there."""

    length: int
    digest: bytes
    data: bytearray = field(default_factory=bytearray)

    @property
    def have(self) -> int:
        """Octets that are there."""
        return len(self.data)


class Receiver:
    """Takes frames of one session.

    Args:
        kept: what an earlier session left unfinished.
    """

    def __init__(self, kept: Unfinished | None = None) -> None:
        self._kept = kept
        self._last = self._last_length = 0
        self._now: Unfinished | None = None

    @property
    def unfinished(self) -> Unfinished | None:
        """What a later session may go on with."""
        return self._now or self._kept

    def take(self, frame: Frame) -> tuple[int | None, bytes | None]:
        """A frame that begins a message or goes on with it.

        Returns:
            The offset to acknowledge, None for no acknowledgement; and the message, if this made it whole.
        """
        begins = frame.kind.lower() == BEGIN
        if frame.message == self._last and self._last_length:
            return self._last_length, None
        if frame.message != self._last % 0xFFFF + 1:
            return None, None
        if begins:
            return self._begin(frame)
        if self._now is None:
            return 0, None
        if frame.offset == self._now.have and 0 < len(frame.payload) <= self._now.length - self._now.have:
            return self._add(self._now, frame.payload)
        return self._now.have, None

    def _begin(self, frame: Frame) -> tuple[int | None, bytes | None]:
        match = _HEAD.fullmatch(frame.payload)
        length = int(match[1], 16) if match else 0
        if match is None or not len(match[3]) <= length <= MAX_MESSAGE or frame.offset:
            return None, None
        if self._now is not None:
            return self._now.have, None
        kept, self._kept = self._kept, None
        if kept is not None and (kept.length, kept.digest) == (length, match[2]):
            self._now = kept
            return kept.have, None
        self._now = Unfinished(length, match[2])
        return self._add(self._now, match[3])

    def _add(self, message: Unfinished, data: bytes) -> tuple[int, bytes | None]:
        message.data += data
        if message.have < message.length:
            return message.have, None
        self._now = None
        if hashlib.sha256(message.data).hexdigest().encode() != message.digest:
            return 0, None
        self._last, self._last_length = self._last % 0xFFFF + 1, message.length
        return message.length, bytes(message.data)
