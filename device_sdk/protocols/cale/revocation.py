"""Noticing that a registration is gone, in a protocol that never says so (CALE-14, CALE-39)."""

from __future__ import annotations

from dataclasses import dataclass

from device_sdk.errors import ConfigurationError
from device_sdk.model.forks import ForkLock


@dataclass(frozen=True)
class RevocationPolicy:
    """When answers that are not for us are taken for a revocation.

    A single one says little: the edge device may have lost its way to the others, or have nothing at that path.

    Attributes:
        answers: so many in a row, at least one.
        whoami: whether `is_revoked` asks /whoami to tell a revocation from paths without an answer. Only where nobody
            behind the edge device is to be feared: who alters answers and sees whether /whoami is asked after them learns
            whether they opened, which is what attacks on paddings live on.

    Raises:
        ConfigurationError: less than one.
    """

    answers: int = 3
    whoami: bool = False

    def __post_init__(self) -> None:
        if self.answers < 1:
            raise ConfigurationError("a revocation is noticed after one answer or more")


class RevocationWatch:
    """Counts. It changes nothing about requests and errors, so nothing of it can be seen from outside. Thread-safe.

    Args:
        policy: how many answers.
    """

    def __init__(self, policy: RevocationPolicy) -> None:
        self._policy = policy
        self._lock = ForkLock()
        self._in_a_row = 0

    @property
    def policy(self) -> RevocationPolicy:
        """What was configured."""
        return self._policy

    @property
    def in_a_row(self) -> int:
        """How many of the last answers were not for us."""
        return self._in_a_row

    @property
    def suspected(self) -> bool:
        """Whether these are so many that the registration is probably gone."""
        return self._in_a_row >= self._policy.answers

    def opened(self) -> None:
        """An answer was for us."""
        with self._lock:
            self._in_a_row = 0

    def not_for_us(self) -> None:
        """An answer was not for us."""
        with self._lock:
            self._in_a_row += 1
