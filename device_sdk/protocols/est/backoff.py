"""How long to leave a server alone that is overloaded (429, 503), or that cannot be reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from device_sdk.errors import ConfigurationError
from device_sdk.protocols.est.retry_after import DEFAULT_RETRY_AFTER_S, MAX_RETRY_AFTER_S

OVERLOAD_STATUSES = frozenset({429, 503})
MIN_WAIT_S = 1.0
_MAX_JITTER_S = 10.0


@dataclass(frozen=True)
class RetryPolicy:
    """When to ask again and how soon; the total is the caller's `wait_s`.

    Attributes:
        first_s: wait after the first failure without a usable Retry-After, in seconds; doubled each time.
        longest_s: the longest of those waits.
        retry_after_cap_s: the longest wait a Retry-After can ask for (EST-162); a server that says "in ten years" is
            asked again after this.
        connections: also try again when no connection came about (name, network, handshake broken off).
    """

    first_s: float = 2.0
    longest_s: float = 60.0
    retry_after_cap_s: float = MAX_RETRY_AFTER_S
    connections: bool = False

    def __post_init__(self) -> None:
        if not MIN_WAIT_S <= self.first_s <= self.longest_s or self.retry_after_cap_s < MIN_WAIT_S:
            raise ConfigurationError(
                f"a retry policy waits at least {MIN_WAIT_S:g} s, and longest_s is not below first_s"
            )


class Backoff:
    """The waits of one request.

    Args:
        policy: the bounds.
        random: uniform in [0, 1); spreads devices that were turned away together.
    """

    def __init__(self, policy: RetryPolicy, random: Callable[[], float]) -> None:
        self._policy, self._random = policy, random
        self._next_s = policy.first_s

    def pending_s(self, retry_after_s: float | None) -> float:
        """The wait after a 202: exactly what the server asked for, 60 s without a usable value (EST-162)."""
        asked_s = DEFAULT_RETRY_AFTER_S if retry_after_s is None else retry_after_s
        return max(min(asked_s, self._policy.retry_after_cap_s), MIN_WAIT_S)

    def overload_s(self, retry_after_s: float | None) -> float:
        """The wait after a 429 or 503, or a failed connection.

        Never less than a usable Retry-After says, and up to a tenth more; without one between half and all of a time that
        doubles up to `longest_s`.
        """
        ceiling_s, self._next_s = self._next_s, min(self._next_s * 2, self._policy.longest_s)
        if retry_after_s is None:
            return max(ceiling_s * (0.5 + self._random() / 2), MIN_WAIT_S)
        asked_s = max(min(retry_after_s, self._policy.retry_after_cap_s), MIN_WAIT_S)
        return asked_s + self._random() * min(asked_s / 10, _MAX_JITTER_S)
