"""A CA, and scripted servers that are closed after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from device_sdk.client.est import Clock
from tests.est.pki import Ca
from tests.est.scripted_server import ScriptedServer


class QuickClock(Clock):
    """The real time, but sleeping only moves it."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return super().monotonic() + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def clock() -> QuickClock:
    return QuickClock()


@pytest.fixture(scope="session")
def ca() -> Ca:
    return Ca.root("EST root")


@pytest.fixture
def serve(ca, tmp_path) -> Iterator[Callable[..., ScriptedServer]]:
    """Starts a scripted server: `serve(cacerts=handler, simpleenroll=[first, second], ...)`."""
    servers: list[ScriptedServer] = []

    def start(*, signed_by: Ca = ca, options: dict | None = None, **handlers) -> ScriptedServer:
        server = ScriptedServer(signed_by, tmp_path, handlers, **(options or {}))
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()
