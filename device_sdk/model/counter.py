"""A number in hardware that only grows, and a key beside it that makes MACs: what binds a file to the newest of its versions."""

from __future__ import annotations

from abc import ABC, abstractmethod


class MonotonicCounter(ABC):
    """Every method raises KeyStoreError or one of its subclasses, and nothing else.

    Attributes:
        uri: canonical, without a PIN.
    """

    uri: str

    @abstractmethod
    def value(self) -> int | None:
        """What it says; 0 if it never counted; None if there is none."""

    @abstractmethod
    def prepare(self) -> int:
        """Make it, if there is none, and say what its next value will be; only before it counts for the first time.

        Killed anywhere, the same call does it again. On hardware that starts elsewhere `advance` tells the truth.
        """

    @abstractmethod
    def advance(self, to: int) -> int:
        """Count on by one if it is one below, or never counted; says what it says now. Doing it twice is doing it once."""

    @abstractmethod
    def new_key(self) -> str:
        """A key for MACs, born in this hardware, in a form that only this hardware can use."""

    @abstractmethod
    def mac(self, key: str, data: bytes) -> bytes:
        """HMAC-SHA-256.

        Raises:
            StoreCorruptError: not a key that was born in this hardware and cannot leave it.
        """
