"""How one CALE role calls another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from device_sdk_simulators.http.messages import Request, Response

Hop: TypeAlias = Callable[[Request], Response]
"""Carries a request to another role and brings its answer; HopError if there is none."""


class HopError(Exception):
    """A role did not answer."""


class HopUnreachableError(HopError):
    """Nobody listens there, or the connection broke."""


class HopTimeoutError(HopError):
    """The answer did not come in time."""


class HopTrustError(HopError):
    """TLS failed, or the one at the other end is not the peer that is listed."""


class HopProtocolError(HopError):
    """What came is no answer, or more than is acceptable."""


class Role(Protocol):
    """A server that other CALE servers call."""

    def handle(self, request: Request, peer: str) -> Response:
        """Answer a request of a peer whose name its transport has verified."""


def local_hop(role: Role, peer: str) -> Hop:
    """A hop inside this process; `peer` is the name of the caller.

    A role that fails is no answer (HopError), as if it were another process: what its caller gives then is the same for
    everybody.
    """

    def call(request: Request) -> Response:
        try:
            return role.handle(request, peer)
        except Exception as error:
            raise HopError(f"a role failed: {type(error).__name__}: {error}") from error

    return call
