"""Nonces of HTTP Digest: counted, bounded, and of their time (RFC 7616; EST-88)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from device_sdk_simulators.est.digest import Nonces


@pytest.fixture
def nonces():
    ticking = SimpleNamespace(now=datetime(2026, 1, 1, tzinfo=UTC))

    def clock():
        ticking.now += timedelta(milliseconds=1)
        return ticking.now

    made = Nonces(clock, lambda: timedelta(minutes=5))
    made.ticking = ticking
    return made


def test_counts_rise_where_nothing_is_changed(nonces):
    nonce = nonces.new()
    assert [nonces.use(nonce, count, once=False) for count in (1, 1, 3, 2, 4)] == [True, False, True, False, True]
    assert not nonces.use(nonce, 5, once=True), "used before"
    used_up = nonces.new()
    assert nonces.use(used_up, 1, once=True)
    assert not nonces.use(used_up, 2, once=False)


def test_what_is_remembered_is_bounded(nonces):
    """More nonces than are remembered: none of them works a second time."""
    used = [nonces.new() for _ in range(5000)]
    assert all(nonces.use(nonce, 1, once=True) for nonce in used[:4096])
    waiting = nonces.new()
    assert nonces.use(used[4096], 1, once=True)
    assert not any(nonces.use(nonce, 2, once=True) for nonce in used)
    assert not nonces.use(waiting, 1, once=True), "forgotten together with the others: stale, not reusable"
    assert nonces.use(nonces.new(), 1, once=True)
    assert len(nonces._used) < 10


def test_nonces_of_one_moment_differ_est_88():
    """Random bytes are in them, not the time alone as in the samples of RFC 7030."""
    standing = Nonces(lambda: datetime(2026, 1, 1, tzinfo=UTC), lambda: timedelta(minutes=5))
    assert len({standing.new() for _ in range(50)}) == 50


def test_nonces_from_the_future_are_stale(nonces):
    nonce = nonces.new()
    nonces.ticking.now -= timedelta(hours=1)
    assert not nonces.use(nonce, 1, once=True)
