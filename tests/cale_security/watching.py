"""Everything that can be seen of an attempt to open a message: the error to its last detail, log lines, output, time."""

from __future__ import annotations

import gc
import logging
import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

Open = Callable[[bytes], object]
Makers = Mapping[str, Callable[[], bytes]]


@dataclass
class Log(logging.Handler):
    """Every record of every logger, however fine."""

    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(logging.NOTSET)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    __hash__ = logging.Handler.__hash__


@contextmanager
def everything_logged() -> Iterator[Log]:
    """Collect log records of all levels."""
    log, root = Log(), logging.getLogger()
    level = root.level
    root.addHandler(log)
    root.setLevel(1)
    try:
        yield log
    finally:
        root.removeHandler(log)
        root.setLevel(level)


def seen_of(error: BaseException) -> tuple[object, ...]:
    """The whole of an error as comparable data: type, arguments, facts, attributes, chain and where it came from."""
    # not by `extract_tb`, which asks the disk each time whether the sources changed
    places = tuple(
        (frame.f_code.co_filename, line, frame.f_code.co_name) for frame, line in traceback.walk_tb(error.__traceback__)
    )
    facts = getattr(error, "facts", dict)()
    return (
        type(error),
        error.args,
        str(error),
        repr(error),
        tuple(sorted((name, repr(value)) for name, value in facts.items())),
        tuple(sorted((name, repr(value)) for name, value in vars(error).items())),
        seen_of(error.__cause__) if error.__cause__ else None,
        seen_of(error.__context__) if error.__context__ else None,
        error.__suppress_context__,
        places,
    )


def values_near(error: BaseException) -> Iterator[object]:
    """What a crash reporter would find: the variables of the frames of an error and of its causes."""
    for one in (error, error.__cause__, error.__context__):
        for frame, _ in traceback.walk_tb(one.__traceback__ if one else None):
            yield from frame.f_locals.values()


@dataclass
class Race:
    """What was seen of many messages.

    Attributes:
        rounds: microseconds by class; each round has every class once, in random order.
        errors: for each class, everything that was seen.
        log: records written meanwhile.
    """

    rounds: list[dict[str, float]]
    errors: dict[str, set[object]]
    log: list[str]

    @property
    def messages(self) -> int:
        """How many messages were opened."""
        return sum(len(one) for one in self.rounds)


def race(
    opening: Open, makers: Makers, rounds: int, *, leak: Mapping[str, float] | None = None, warm_up: int = 20
) -> Race:
    """Try to open new messages of every class in turn.

    Args:
        opening: the reader; must raise for every one of them.
        makers: classes by name.
        rounds: messages of each class.
        leak: how much longer an artificially leaky reader takes for some classes, as a share of each message's time.
        warm_up: rounds before the first that counts.
    """
    leaks = leak or {}
    chance = random.Random(rounds)  # noqa: S311  # an order, no secret
    result = Race([], {name: set() for name in makers}, [])
    names = list(makers)
    collecting = gc.isenabled()
    gc.disable()
    try:
        with everything_logged() as log:
            for number in range(-warm_up, rounds):
                chance.shuffle(names)
                messages = [(name, makers[name]()) for name in names]
                times: dict[str, float] = {}
                for name, message in messages:
                    # time and caches as after other work, the same before each
                    os.urandom(32)
                    elapsed, error = _timed(opening, message, leaks.get(name, 0.0))
                    times[name] = elapsed
                    if number >= 0:
                        result.errors[name].add(seen_of(error))
                if number >= 0:
                    result.rounds.append(times)
                if number % 50 == 0:
                    gc.collect(0)
            result.log = log.lines
    finally:
        if collecting:
            gc.enable()
    return result


def _timed(opening: Open, message: bytes, leak: float) -> tuple[float, BaseException]:
    start = time.perf_counter_ns()
    try:
        opening(message)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is to be looked at
        if leak:
            end = start + (1 + leak) * (time.perf_counter_ns() - start)
            while time.perf_counter_ns() < end:
                pass
        return (time.perf_counter_ns() - start) / 1000, error
    raise AssertionError("a bad message was opened")


@contextmanager
def descriptors_captured(path: Path) -> Iterator[Path]:
    """What C libraries write to standard output and error goes to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield path
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, descriptor in zip((1, 2), kept, strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)
