"""Whether two samples can be told apart, and how well: rank tests and a trained classifier, with nothing but Python.

Times have long tails (other processes, interrupts), so everything here goes by ranks. Names of quantities: a shift is how much
later the second sample is than the first; a separation is the best accuracy of guessing from one value which sample it is of.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from statistics import NormalDist, median

CERTAIN = 4.5
"""Standard deviations of what counts as shown: once in 150,000 comparisons by chance, two-sided."""


@dataclass(frozen=True)
class Shift:
    """How much later the second sample is, with a confidence interval of CERTAIN standard deviations.

    Attributes:
        low, middle, high: in the samples' unit.
    """

    low: float
    middle: float
    high: float

    @property
    def seen(self) -> bool:
        """Whether there is a shift at all."""
        return not self.low <= 0 <= self.high

    @property
    def at_least(self) -> float:
        """What the shift surely is, in either direction; 0 if there may be none."""
        return max(self.low, -self.high, 0.0)

    @property
    def limit(self) -> float:
        """The smallest shift that would have been seen, with the certainty with which none is seen where there is none."""
        return self.high - self.low


def aligned(rounds: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Each value as its distance from the median of its round.

    A round has one value of every class, measured one right after the other: what slows the whole machine for a while slows
    a whole round (Hodges and Lehmann's aligned ranks).
    """
    found: dict[str, list[float]] = {name: [] for name in rounds[0]}
    for one in rounds:
        middle = median(one.values())
        for name, value in one.items():
            found[name].append(value - middle)
    return found


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Area under the ROC curve (the chance that a value of `second` is larger) and standard deviations from 1/2.

    Normal approximation with correction for ties; good from 20 values each.
    """
    ordered = sorted(first)
    wins = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in second) / 2
    area = wins / (len(first) * len(second))
    return area, (area - 0.5) / _deviation(first, second)


def _deviation(first: Sequence[float], second: Sequence[float]) -> float:
    m, n = len(first), len(second)
    counts: dict[float, int] = {}
    for value in (*first, *second):
        counts[value] = counts.get(value, 0) + 1
    ties = sum(count**3 - count for count in counts.values())
    total = m + n
    return sqrt(max(1e-300, ((total + 1) - ties / (total * (total - 1))) / (12 * m * n)))


def shift(first: Sequence[float], second: Sequence[float]) -> Shift:
    """The Hodges-Lehmann shift with its interval, found by inverting the Mann-Whitney test."""
    ordered, other = sorted(first), sorted(second)
    deviation = _deviation(first, second)
    reach = max(ordered[-1], other[-1]) - min(ordered[0], other[0])

    def crossing(level: float) -> float:
        low, high = -reach, reach
        for _ in range(34):  # to a part of the whole range that no clock shows
            middle = (low + high) / 2
            if _area_moved(ordered, other, middle) > 0.5 + level * deviation:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    return Shift(crossing(CERTAIN), crossing(0.0), crossing(-CERTAIN))


def _area_moved(ordered: list[float], other: list[float], by: float) -> float:
    wins = sum(bisect_left(ordered, value - by) + bisect_right(ordered, value - by) for value in other) / 2
    return wins / (len(ordered) * len(other))


def kolmogorov_smirnov(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The largest distance of the distribution functions, and the chance of it if there is no difference."""
    one, two = sorted(first), sorted(second)
    distance = max(
        abs(bisect_right(one, value) / len(one) - bisect_right(two, value) / len(two)) for value in (*one, *two)
    )
    root = sqrt(len(one) * len(two) / (len(one) + len(two)))
    scaled = (root + 0.12 + 0.11 / root) * distance
    # below that the series does not converge, and the probability is 1 anyway
    if scaled < 0.3:
        return distance, 1.0
    series = sum((-1) ** (k - 1) * exp(-2 * k * k * scaled * scaled) for k in range(1, 101))
    return distance, min(1.0, max(0.0, 2 * series))


@dataclass(frozen=True)
class Separation:
    """What a classifier with one threshold achieves on data it was not trained with.

    Attributes:
        accuracy: share of right guesses; 1/2 is chance.
        deviations: standard deviations from chance.
    """

    accuracy: float
    deviations: float


def separation(first: Sequence[float], second: Sequence[float], *, folds: int = 5, seed: int = 1) -> Separation:
    """Train a threshold on all but one part of both samples, guess that part; each part once.

    Samples are cut to equal size, so that chance is 1/2.
    """
    chance = random.Random(seed)  # noqa: S311  # repeatable, and no secret
    size = min(len(first), len(second))
    samples = [chance.sample(list(one), size) for one in (first, second)]
    right = 0
    for fold in range(folds):
        train = [[value for i, value in enumerate(one) if i % folds != fold] for one in samples]
        threshold, upwards = _best_threshold(*train)
        for which, one in enumerate(samples):
            tests = [value for i, value in enumerate(one) if i % folds == fold]
            right += sum(((value > threshold) == upwards) == bool(which) for value in tests)
    accuracy = right / (2 * size)
    return Separation(accuracy, (accuracy - 0.5) * 2 * sqrt(2 * size))


def _best_threshold(first: Sequence[float], second: Sequence[float]) -> tuple[float, bool]:
    """The threshold with the largest distance of the distribution functions, and whether `second` is above it."""
    one, two = sorted(first), sorted(second)
    best, threshold, upwards = -1.0, 0.0, True
    for value in (*one, *two):
        distance = bisect_right(one, value) / len(one) - bisect_right(two, value) / len(two)
        if abs(distance) > best:
            best, threshold, upwards = abs(distance), value, distance >= 0
    return threshold, upwards


def chance_of(deviations: float) -> float:
    """Two-sided probability of so many standard deviations."""
    return 2 * (1 - NormalDist().cdf(abs(deviations)))


def same_proportions(tables: Sequence[Mapping[object, int]]) -> tuple[float, int]:
    """Pearson's chi-square of counts by category, and its degrees of freedom.

    Categories with fewer than five expected are taken together.
    """
    totals = [sum(table.values()) for table in tables]
    everything = sum(totals)
    columns: list[list[int]] = []
    rare = [0] * len(tables)
    for category in {key for table in tables for key in table}:
        counts = [table.get(category, 0) for table in tables]
        if sum(counts) * min(totals) < 5 * everything:
            rare = [a + b for a, b in zip(rare, counts, strict=True)]
        else:
            columns.append(counts)
    columns += [rare] if any(rare) else []
    chi = sum(
        (count - sum(column) * total / everything) ** 2 / (sum(column) * total / everything)
        for column in columns
        for count, total in zip(column, totals, strict=True)
    )
    return chi, (len(columns) - 1) * (len(tables) - 1)


def chi_square_deviations(chi: float, freedom: int) -> float:
    """Chi-square as standard deviations (Wilson and Hilferty); 0 without any freedom."""
    if not freedom:
        return 0.0
    spread = 2 / (9 * freedom)
    return float(((chi / freedom) ** (1 / 3) - (1 - spread)) / sqrt(spread))
