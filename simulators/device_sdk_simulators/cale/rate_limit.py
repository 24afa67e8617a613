"""How often a GUID, or an address, may ask (CALE-32)."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_MOST = 65_536


class RateLimit:
    """A bucket of tokens for everybody; it holds what comes in a minute, and fills steadily.

    Args:
        clock: seconds, monotonic.
        most: how many are remembered; who did not ask for longest is forgotten first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admits(self, *who: str, a_minute: int) -> bool:
        """Whether all of these may ask once more; counts as asked. 0 a minute is without limit."""
        if not a_minute:
            return True
        with self._lock:
            # everybody is counted, also beside one who asked too often
            taken = [self._take(one, a_minute) for one in who]
        return all(taken)

    def _take(self, one: str, a_minute: int) -> bool:
        now = self._clock()
        tokens, since = self._buckets.pop(one, (float(a_minute), now))
        tokens = min(float(a_minute), tokens + (now - since) * a_minute / 60)
        self._buckets[one] = (max(0.0, tokens - 1), now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return tokens >= 1
