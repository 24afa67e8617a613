"""What an attacker wants to know of a message, and what the times of many messages tell about it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from tests.cale_security.ranks import (
    Separation,
    Shift,
    aligned,
    kolmogorov_smirnov,
    separation,
    shift,
)
from tests.cale_security.specimens import REFERENCE, Form
from tests.cale_security.watching import Race

SOUND = (REFERENCE, "content key of 16 bytes", "content key of 33 bytes", "no content key")
CONTENT = ("bad content padding", "sound padding, no JSON", "bad tag")

Rounds = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Answer:
    """What the times say to one question.

    Attributes:
        name: the question.
        typical: median time of a message, microseconds.
        shift: between the two answers, microseconds.
        separation: how well one message can be guessed.
        distance, probability: Kolmogorov and Smirnov's.
        samples: messages of the smaller side.
    """

    name: str
    typical: float
    shift: Shift
    separation: Separation
    distance: float
    probability: float
    samples: int

    @property
    def shown(self) -> float:
        """The difference that is surely there, as a share of the time of a message."""
        return self.shift.at_least / self.typical

    @property
    def limit(self) -> float:
        """The difference that would have been seen, as a share of the time of a message."""
        return self.shift.limit / self.typical

    def __str__(self) -> str:
        return (
            f"{self.name:34} {self.shift.middle:+8.2f} us ({self.shift.low:+.2f} to {self.shift.high:+.2f}),"
            f" would be seen: {self.shift.limit:.2f} us = {self.limit:.2%}; guessed right {self.separation.accuracy:.1%}"
            f" ({self.separation.deviations:+.1f} sd); KS p {self.probability:.2g}; {self.samples} a side"
        )


def questions(form: Form, classes: Iterable[str]) -> dict[str, tuple[Sequence[str], Sequence[str]]]:
    """The questions that matter for a form of message: classes of the one answer and of the other."""
    unsound = [name for name in classes if name not in SOUND + CONTENT]
    asked: dict[str, tuple[Sequence[str], Sequence[str]]] = {
        "padding of the RSA block sound?": (SOUND, unsound),
        "length of the content key right?": ((REFERENCE,), SOUND[1:]),
    }
    if form.gcm:
        asked["content key right, tag wrong?"] = ((REFERENCE,), ("bad tag",))
    else:
        asked["content key right, padding wrong?"] = ((REFERENCE,), ("bad content padding",))
        asked["content padding sound?"] = (("sound padding, no JSON",), ("bad content padding",))
    return asked


def quiet(rounds: Rounds, share: float = 0.6) -> Rounds:
    """The rounds with the smallest spread: those in which nothing else disturbed; which class is which plays no part."""

    def spread(one: Mapping[str, float]) -> float:
        low, _, high = quantiles(one.values(), n=4)
        return high - low

    return sorted(rounds, key=spread)[: max(20, int(len(rounds) * share))]


def answer(name: str, sides: tuple[Sequence[str], Sequence[str]], rounds: Rounds) -> Answer:
    """What the times say."""
    chosen = quiet(rounds)
    values = aligned(chosen)
    first, second = ([value for one in side for value in values[one]] for side in sides)
    distance, probability = kolmogorov_smirnov(first, second)
    return Answer(
        name,
        median(value for one in chosen for value in one.values()),
        shift(first, second),
        separation(first, second),
        distance,
        probability,
        min(len(first), len(second)),
    )


def answers(form: Form, found: Race) -> list[Answer]:
    """All questions of a form."""
    asked = questions(form, found.errors)
    return [answer(name, sides, found.rounds) for name, sides in asked.items()]


def until_sharp(
    run: Callable[[], Race],
    form: Form,
    limit: float,
    *,
    most: int = 4,
    seen: float = math.inf,
    patience_s: float = math.inf,
) -> tuple[Race, list[Answer]]:
    """Run, and run again where a busy machine blurred the times, until `limit` would be seen at the first question.

    Args:
        run: makes measurements.
        form: of the messages.
        limit: share of a message's time.
        most: runs.
        seen: a share that is larger than this, surely, needs no more of them.
        patience_s: no other run begins after so long.
    """
    end = time.monotonic() + patience_s
    found = run()
    judged = answers(form, found)
    for _ in range(most - 1):
        if judged[0].limit <= limit or judged[0].shown > seen or time.monotonic() > end:
            break
        more = run()
        found.rounds.extend(more.rounds)
        found.log.extend(more.log)
        for name, errors in more.errors.items():
            found.errors[name] |= errors
        judged = answers(form, found)
    return found, judged
