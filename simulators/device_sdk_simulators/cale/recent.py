"""The last answers of one kind, of several owners: who asks most crowds nobody else out."""

from __future__ import annotations

from collections import Counter
from typing import Generic, TypeVar

T = TypeVar("T")

_MOST = 16


class Recent(Generic[T]):
    """What the last answers were like.

    When there are too many, the oldest one goes of the owner who has most of them. So no owner decides alone, however often
    it asks, as long as there are others.

    Args:
        one_each: whether only the last answer of every owner counts.
    """

    def __init__(self, *, one_each: bool = False) -> None:
        self._one_each = one_each
        self._known: list[tuple[str, T]] = []

    def add(self, owner: str, what: T) -> None:
        """An answer.

        Args:
            owner: whose it is; "" if nobody knows.
            what: it was like.
        """
        if self._one_each:
            self._known = [one for one in self._known if one[0] != owner]
        self._known.append((owner, what))
        if len(self._known) > _MOST:
            counts = Counter(one for one, _what in self._known)
            most = max(counts.values())
            self._known.remove(next(one for one in self._known if counts[one[0]] == most))

    def all(self) -> set[T]:
        """Whatever they were like, each once."""
        return {what for _owner, what in self._known}
