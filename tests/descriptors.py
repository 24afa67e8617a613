"""Waiting for descriptors of any number: select() knows those below 1024 only."""

from __future__ import annotations

import select


def readable(descriptor: int, seconds: float) -> bool:
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))
