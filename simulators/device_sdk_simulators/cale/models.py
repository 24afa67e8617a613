"""Whom strangers are like: registrations that were chosen once and stay (CALE-36, CALE-49)."""

from __future__ import annotations

import hmac
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest

from device_sdk_simulators.cale.records import CsrRecord, RecordStore

LOOKED_AT = 64
"""The oldest registrations of a site; later ones change nothing."""
MOST = 32
"""Of these there are strangers like."""


class Models:
    """Picks the registration that a stranger is like.

    Were it one of all registrations, a new one would change strangers and never a client: who registers keys of a rare kind
    could see which GUIDs are not registered. So the choice is over with the first registrations, revoked ones included, of
    every owner as many as of others as long as there are any; until then a new one changes as few strangers as can be.

    Args:
        records: of the authorization server.
        owners: whose registrations are models instead of the first ones, from the start; none for the first ones.
    """

    def __init__(self, records: RecordStore, owners: Callable[[], tuple[str, ...]] = tuple) -> None:
        self._records = records
        self._owners = owners
        self._lock = threading.Lock()
        self._final: dict[tuple[str, ...], list[CsrRecord]] = {}

    def of(self, mark: bytes) -> CsrRecord | None:
        """The model of a stranger, the same for the same mark; None if there is none at all."""
        return min(self.all(), key=lambda one: hmac.digest(mark, one.guid.encode(), "sha256"), default=None)

    def all(self) -> list[CsrRecord]:
        """All models there are by now."""
        owners = self._owners()
        with self._lock:
            if owners in self._final:
                return self._final[owners]
            oldest = self._records.first(LOOKED_AT, owners)
            models = _in_turn(_at_most_half(oldest))[:MOST]
            if len(oldest) == LOOKED_AT:
                self._final = {owners: models}
            return models


def _at_most_half(records: Iterable[CsrRecord]) -> Iterator[CsrRecord]:
    """Leaves out those of an owner who has as many already as all others before, but not of who was there first.

    Otherwise one who comes to a young site with many keys makes nearly all strangers like himself.
    """
    first, kept = None, Counter[str]()
    for record in records:
        first = first or record.identity
        if record.identity == first or kept[record.identity] < kept.total() / 2:
            kept[record.identity] += 1
            yield record


def _in_turn(records: Iterable[CsrRecord]) -> list[CsrRecord]:
    """The first record of each owner, then the second one of each, and so on."""
    by_owner: dict[str, list[CsrRecord]] = {}
    for record in records:
        by_owner.setdefault(record.identity, []).append(record)
    return [record for turn in zip_longest(*by_owner.values()) for record in turn if record is not None]
