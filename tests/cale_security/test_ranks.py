"""The statistics themselves: known answers, false alarms, and what they see."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.cale_security.ranks import (
    CERTAIN,
    aligned,
    chance_of,
    chi_square_deviations,
    kolmogorov_smirnov,
    mann_whitney,
    same_proportions,
    separation,
    shift,
)


def times(chance: random.Random, count: int, later: float = 0.0) -> list[float]:
    """Like real ones: a narrow peak, a second one, a long tail."""
    return [
        230 + later + chance.gauss(0, 3) + (chance.expovariate(0.02) if chance.random() < 0.1 else 0)
        for _ in range(count)
    ]


def test_mann_whitney_of_a_textbook() -> None:
    """Hollander and Wolfe: permeability at term and at 12 to 26 weeks, W = 30."""
    term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    early = [1.15, 0.88, 0.90, 0.74, 1.21]
    area, deviations = mann_whitney(term, early)
    assert area == pytest.approx(15 / 50)
    assert deviations == pytest.approx(-1.2247, abs=1e-3)
    assert shift(term, early).middle == pytest.approx(-0.305, abs=0.01)


def test_kolmogorov_smirnov_of_known_samples() -> None:
    distance, probability = kolmogorov_smirnov(range(100), range(20, 120))
    assert distance == pytest.approx(0.2)
    assert probability == pytest.approx(0.034, abs=0.006)
    assert kolmogorov_smirnov(range(100), range(100)) == (0.0, 1.0)


def test_chi_square_of_known_counts() -> None:
    chi, freedom = same_proportions([{"a": 60, "b": 40}, {"a": 40, "b": 60}])
    assert (chi, freedom) == (pytest.approx(8.0), 1)
    assert chance_of(chi_square_deviations(chi, 1)) / 2 == pytest.approx(0.0047, rel=0.2)
    assert same_proportions([{1: 100, 2: 1}, {1: 100, 3: 1}])[1] == 1
    assert chi_square_deviations(*same_proportions([{1: 100}, {1: 90}])) == 0


@pytest.mark.slow
def test_where_there_is_nothing_nothing_is_seen() -> None:
    chance = random.Random("nothing")  # noqa: S311  # repeatable
    worst = 0.0
    for _ in range(60):
        first, second = times(chance, 500), times(chance, 500)
        assert not shift(first, second).seen
        worst = max(worst, abs(mann_whitney(first, second)[1]), abs(separation(first, second).deviations))
    assert worst < CERTAIN


def test_what_is_there_is_seen_and_measured() -> None:
    """1 per cent of 230, under a tail that hides it from means."""
    chance = random.Random("something")  # noqa: S311
    first, second = times(chance, 1000), times(chance, 1000, later=2.3)
    found = shift(first, second)
    assert found.seen
    assert found.low < 2.3 < found.high
    assert found.limit < 2.3
    assert mann_whitney(first, second)[1] > CERTAIN
    assert kolmogorov_smirnov(first, second)[1] < 1e-6
    assert separation(first, second).deviations > CERTAIN
    assert 0.55 < separation(first, second).accuracy < 0.75


@pytest.mark.slow
def test_the_limit_is_what_is_seen_nine_times_of_ten() -> None:
    chance = random.Random("limit")  # noqa: S311
    limit = shift(times(chance, 400), times(chance, 400)).limit
    seen = sum(shift(times(chance, 400), times(chance, 400, later=limit)).seen for _ in range(30))
    assert seen >= 27


def test_rounds_take_out_what_slows_everything() -> None:
    chance = random.Random("rounds")  # noqa: S311
    rounds = []
    for number in range(500):
        slow = 100 * (number // 50 % 2)
        rounds.append({name: slow + chance.gauss(0, 3) + later for name, later in (("a", 0), ("b", 2), ("c", 0))})
    plain = shift([one["a"] for one in rounds], [one["b"] for one in rounds])
    values = aligned(rounds)
    assert shift(values["a"], values["b"]).limit < plain.limit / 1.2
    assert shift(values["a"], values["b"]).seen
    assert not shift(values["a"], values["c"]).seen


def test_proportions_that_differ() -> None:
    chance = random.Random("proportions")  # noqa: S311
    draw = lambda share, count=2000: Counter(chance.random() < share for _ in range(count))  # noqa: E731
    assert abs(chi_square_deviations(*same_proportions([draw(0.5), draw(0.5)]))) < CERTAIN
    assert chi_square_deviations(*same_proportions([draw(0.5), draw(0.6)])) > CERTAIN
