"""A fuzzer of our own for where atheris is not to be had: no coverage, but the same targets, seeds and bounds."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_INTERESTING = (0x00, 0x01, 0x0A, 0x0D, 0x20, 0x30, 0x31, 0x3A, 0x7F, 0x80, 0x84, 0xA0, 0xA1, 0xFF)
_SLOW_S = 10.0


def run(target: Callable[[bytes], None], seeds: Sequence[bytes], seconds: float, crashes: Path) -> int:
    """Feed mutations of the seeds to a target; gives how many. A crash is kept in a file, and raised."""
    chance = random.Random(time.time_ns())  # noqa: S311  # any numbers will do
    corpus = [*seeds, b""]
    end, count = time.monotonic() + seconds, 0
    while (began := time.monotonic()) < end:
        data = mutated(chance.choice(corpus), chance.choice(corpus), chance)
        try:
            target(data)
        except BaseException:
            (crashes / f"crash-{time.time_ns()}").write_bytes(data)
            raise
        if time.monotonic() - began > _SLOW_S:
            (crashes / f"slow-{time.time_ns()}").write_bytes(data)
            raise TimeoutError(f"an input took longer than {_SLOW_S:g} s")
        count += 1
    return count


def mutated(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """One to eight changes: bits, octets, lengths, pieces doubled, moved, removed, or taken from another seed."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at, length = chance.randrange(len(changed) + 1), chance.randint(1, 32)
        match chance.randrange(6):
            case 0:
                changed[at : at + 1] = bytes((chance.choice(_INTERESTING),))
            case 1 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[at : at + length]
            case 4:
                start = chance.randrange(len(other) + 1)
                changed[at:at] = other[start : start + length]
            case _:
                changed[at:at] = chance.randbytes(length)
    return bytes(changed)
