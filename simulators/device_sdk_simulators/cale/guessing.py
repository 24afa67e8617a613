"""Passwords and tokens are not guessed here: pauses that double, as for SRP, also where no rate is set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

from device_sdk_simulators.cale.identity import Identify
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.digest import DigestAnswer
from device_sdk_simulators.http.messages import HttpError, Request
from device_sdk_simulators.passwords import basic_credentials
from device_sdk_simulators.srp.backoff import BackOff, Guard, network_of

PATIENCE = BackOff(user_tries=20, address_tries=100, longest_s=60.0, lock_after=1 << 62)
"""Nobody is locked, as whoever knows a name could lock its owner out: a minute between guesses is enough for good passwords.
As many are free as devices with one user name may register at the same moment: each counts as wrong until it is right."""

_LONGEST = 64
_NOWHERE = "0.0.0.0"  # noqa: S104 - stands for addresses that a server in front does not tell


def guarded(
    identify: Identify, database: Database, clock: Callable[[], datetime], patience: BackOff = PATIENCE
) -> Identify:
    """The same proofs of identity, with pauses after wrong ones.

    Args:
        identify: judges the proof.
        database: memory; a restart forgives nothing.
        clock: the time.
        patience: how many tries are free, and how long pauses are.

    Returns:
        What raises HttpError 429 during a pause, whether the proof is right or not, beside what `identify` raises.
    """
    guard = Guard(database, clock, patience, "proof ")

    def check(request: Request) -> Client:
        source = _network(request.source)
        claimed = _claimed(request, source)
        if claimed is None:
            return identify(request)
        if not guard.begin(claimed, source):
            raise HttpError(429, "too many wrong proofs of identity", [("Retry-After", str(int(patience.longest_s)))])
        client = identify(request)
        if client.user is not None:
            guard.succeed(claimed, source)
        return client

    return check


def _claimed(request: Request, source: str) -> str | None:
    """Whose failure it is if the proof is wrong; None for a request without a password or a token."""
    values = request.header_values("Authorization")
    scheme, _, rest = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() == "bearer":
        # a token names nobody; a user name has no colon
        return f"bearer:{source}"
    if scheme.lower() == "digest":
        name = DigestAnswer.parse(rest).name
    else:
        credentials = basic_credentials(values[0]) if values else None
        if credentials is None:
            return None
        name = credentials[0]
    return name if len(name) <= _LONGEST else hashlib.sha256(name.encode(errors="replace")).hexdigest()


def _network(source: str) -> str:
    """Where a request is from; everything that is no address counts as one."""
    try:
        network_of(source)
    except ValueError:
        return _NOWHERE
    return source
