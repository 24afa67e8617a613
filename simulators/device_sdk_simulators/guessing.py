"""Passwords, tokens and shared secrets are not guessed here: pauses that double, for a name from an address and for the address."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from device_sdk_simulators.backoff import BackOff, Guard, network_of
from device_sdk_simulators.database import Database
from device_sdk_simulators.http.messages import HttpError

PATIENCE = BackOff(user_tries=20, address_tries=100, longest_s=60.0, lock_after=1 << 62)
"""Nobody is locked, as whoever knows a name could lock its owner out: a minute between guesses is enough for good passwords."""

_LONGEST = 64
_LOCKS = 64
_NOWHERE = "0.0.0.0"  # noqa: S104 - stands for addresses that a server in front does not tell

Found = TypeVar("Found")


class Guesses:
    """What is between a claim and the look at its proof; one for all secrets of a server.

    Failures count for a name from one address, so that nobody makes others wait who are elsewhere, and for the address.

    Args:
        database: memory; a restart forgives nothing.
        clock: the time.
        patience: how many tries are free, and how long pauses are.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime], patience: BackOff = PATIENCE) -> None:
        self._guard = Guard(database, clock, patience, "proof ")
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def judge(self, claimed: str, source: str, check: Callable[[], Found | None]) -> Found | None:
        """What `check` finds; None, or an exception, is a wrong guess, and on disk before anybody hears of it.

        Proofs of one name are looked at one after the other: many at once are no more guesses, and many right ones no
        failures.

        Args:
            claimed: whose secret it is to be, whether there is such a one or not.
            source: network address of the request.
            check: looks at the proof.

        Raises:
            HttpError: 429 during a pause, whether the proof is right or not.
        """
        address = _address(source)
        who = f"{_short(claimed)} {network_of(address)}"
        with self._locks[hash(who) % _LOCKS]:
            left_s = self._guard.left_s(who, address)
            if left_s:
                raise HttpError(429, "too many wrong proofs of identity", [("Retry-After", str(math.ceil(left_s)))])
            found = None
            try:
                found = check()
            finally:
                if found is None:
                    self._guard.failed(who, address)
            if found is not None:
                self._guard.unlock(who)
        return found


def _short(claimed: str) -> str:
    return claimed if len(claimed) <= _LONGEST else hashlib.sha256(claimed.encode(errors="replace")).hexdigest()


def _address(source: str) -> str:
    """Where a request is from; everything that is no address counts as one."""
    try:
        network_of(source)
    except ValueError:
        return _NOWHERE
    return source
