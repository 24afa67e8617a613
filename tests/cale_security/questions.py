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


@dataclass(frozen=True)
class Sight:
    """What the first question shows while the messages are still counted: the shift, and the time of a message."""

    shift: Shift
    typical: float

    @property
    def limit(self) -> float:
        """As of an answer."""
        return self.shift.limit / self.typical

    @property
    def shown(self) -> float:
        """As of an answer."""
        return self.shift.at_least / self.typical


def until_sharp(
    run: Callable[[int], Race],
    form: Form,
    enough: Callable[[Sight], bool],
    *,
    first: int,
    step: int,
    most: int,
    patience_s: float = math.inf,
) -> tuple[Race, list[Answer]]:
    """So many messages, and more of them where a busy machine blurred the times.

    Args:
        run: measures about as many messages as it is told.
        form: of the messages.
        enough: whether the first question is seen sharply enough.
        first: messages at least.
        step: messages between two looks.
        most: no more than these and another step.
        patience_s: no other step begins after so long.
    """
    end = time.monotonic() + patience_s
    found = run(first)
    while found.messages < most and time.monotonic() < end and not enough(_first_sight(form, found)):
        more = run(step)
        found.rounds.extend(more.rounds)
        found.log.extend(more.log)
        for name, errors in more.errors.items():
            found.errors[name] |= errors
    return found, answers(form, found)


def _first_sight(form: Form, found: Race) -> Sight:
    """Without what only a verdict needs and takes longer."""
    first, second = next(iter(questions(form, found.errors).values()))
    chosen = quiet(found.rounds)
    values = aligned(chosen)
    sides = ([value for one in side for value in values[one]] for side in (first, second))
    return Sight(shift(*sides), median(value for one in chosen for value in one.values()))
