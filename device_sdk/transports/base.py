"""What the clients see of a transport."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from device_sdk.model.http import HttpRequest, HttpResponse


@dataclass(frozen=True)
class Timeouts:
    """Limits of one exchange, in seconds."""

    connect_s: float = 10.0
    read_s: float = 30.0
    total_s: float = 120.0


class Transport(ABC):
    """One origin (scheme, host, port), one trust decision, one TLS identity; the connection is kept between requests."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """The origin, "https://host:port", port omitted when it is 443."""

    @abstractmethod
    def send(self, request: HttpRequest) -> HttpResponse:
        """Carry one request; follows no redirect and answers no challenge.

        Raises:
            TransportError: no connection, or it broke; its subclasses say how.
            VerificationError: the server is not trusted or not authorized; nothing of the request was sent.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection; a later send opens a new one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
