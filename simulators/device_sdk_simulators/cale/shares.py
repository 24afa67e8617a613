"""Who fills a memory makes room in it himself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_MOST_HOLDERS = 4
_FOR_ONE = 16


class Shares(Generic[K]):
    """Things that are remembered for those who asked for them; not for several threads.

    When there are too many, one is forgotten of the holder who has most of them, the one that was not asked for by him for
    longest, and only if nobody else has asked for it. So many things of one holder push out nothing of the others. What has
    no holder (it was known before a restart) gives way to the first sixteenth of the bound, and is kept from there on.

    Args:
        most: number of things.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._holders: dict[K, list[str]] = {}
        self._things: dict[str, OrderedDict[K, None]] = {}

    def use(self, thing: K, holder: str = "") -> list[K]:
        """Somebody asked for a thing.

        Args:
            thing: known already, or not.
            holder: who asked; "" if nobody is known to have.

        Returns:
            What is to be forgotten for it.
        """
        holders = self._holders.setdefault(thing, [])
        if holder not in holders:
            holders.append(holder)
        if holder and "" in holders:
            self._leave(thing, "")
        if len(holders) > _MOST_HOLDERS:
            self._leave(thing, holders[0])
        mine = self._things.setdefault(holder, OrderedDict())
        mine[thing] = None
        mine.move_to_end(thing)
        forgotten = []
        while len(self._holders) > self._most:
            forgotten += self._give_way()
        return forgotten

    def _give_way(self) -> list[K]:
        holder = max((one for one in self._things if one), key=lambda one: len(self._things[one]), default="")
        if "" in self._things and len(self._things.get(holder, ())) <= self._most // _FOR_ONE:
            holder = ""
        thing = next(iter(self._things[holder]))
        self._leave(thing, holder)
        if self._holders[thing]:
            return []
        del self._holders[thing]
        return [thing]

    def _leave(self, thing: K, holder: str) -> None:
        self._holders[thing].remove(holder)
        self._things[holder].pop(thing, None)
        if not self._things[holder]:
            del self._things[holder]
