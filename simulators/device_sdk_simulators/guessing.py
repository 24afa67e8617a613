"""Passwords, tokens and shared secrets are not guessed here: pauses that double, for a name from an address and for the address."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from device_sdk_simulators.backoff import network_of
from device_sdk_simulators.database import Database
from device_sdk_simulators.guess_memory import GuessMemory, Patience
from device_sdk_simulators.http.messages import HttpError

PATIENCE = Patience()

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

    Attributes:
        memory: what is counted.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime], patience: Patience = PATIENCE) -> None:
        self.memory = GuessMemory(database, clock, patience)
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def judge(
        self,
        claimed: str,
        source: str,
        check: Callable[[], Found | None],
        *,
        proof: bytes | None = None,
        personal: bool = True,
    ) -> Found | None:
        """What `check` finds; None, or an exception, is a wrong guess, and on disk before anybody hears of it.

        Proofs of one name are looked at one after the other: many at once are no more guesses, and many right ones no
        failures.

        Args:
            claimed: whose secret it is to be, whether there is such a one or not.
            source: network address of the request.
            check: looks at the proof.
            proof: what a client that does not guess shows again: the same wrong one counts once. None where a proof is
                another one each time.
            personal: the claim names one secret. Who shows one of several that go by one name may be a guesser at the others.

        Raises:
            HttpError: 429 during a pause, whether the proof is right or not.
        """
        network, name = network_of(_address(source)), short_name(claimed)
        with self._locks[hash((network, name)) % _LOCKS]:
            left_s = self.memory.left_s(network, name)
            if left_s:
                raise HttpError(429, "too many wrong proofs of identity", [("Retry-After", str(math.ceil(left_s)))])
            found = None
            try:
                found = check()
            finally:
                if found is None:
                    self.memory.failed(network, name, proof)
            if found is not None:
                self.memory.proved(network, name, known=personal)
        return found


def short_name(claimed: str) -> str:
    """As names are kept: what is long as SHA-256."""
    return claimed if len(claimed) <= _LONGEST else hashlib.sha256(claimed.encode(errors="replace")).hexdigest()


def _address(source: str) -> str:
    """Where a request is from; everything that is no address counts as one."""
    try:
        network_of(source)
    except ValueError:
        return _NOWHERE
    return source
