"""How one CALE role calls another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from device_sdk_simulators.http.messages import Request, Response

Hop: TypeAlias = Callable[[Request], Response]
"""Carries a request to another role and brings its answer."""


class Role(Protocol):
    """A server that other CALE servers call."""

    def handle(self, request: Request, peer: str) -> Response:
        """Answer a request of a peer whose name its transport has verified."""


def local_hop(role: Role, peer: str) -> Hop:
    """A hop inside this process; `peer` is the name of the caller."""
    return lambda request: role.handle(request, peer)
