"""A CA, and scripted servers that are closed after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from device_sdk.client.est import Clock, EstClient
from tests.est.answers import SPEC, bag, trusting
from tests.est.full_cmc_answers import SHARED, CmcServer
from tests.est.pki import Ca, new_key
from tests.est.scripted_server import ScriptedServer


class QuickClock(Clock):
    """The real time plus `shift`; sleeping takes no time, but moves the monotonic clock."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.shift = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.shift

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


@pytest.fixture
def enroll(ca, serve, clock):
    """One enrolment against the given handlers: the result and the server, which is also `enroll.server`."""

    def run(*, credentials=None, wait_s=None, progress=None, options=None, spec=SPEC, **handlers):
        server = run.server = serve(options=options, cacerts=bag(ca.certificate), **handlers)
        with EstClient(server.url, trusting(ca), credentials=credentials, clock=clock) as client:
            return client.enroll(new_key(), spec, wait_s=wait_s, progress=progress), server

    return run


@pytest.fixture
def other_side(ca) -> CmcServer:
    return CmcServer(ca)


@pytest.fixture
def ask(ca, serve, clock):
    """One enrolment by Full CMC against a handler: the result; the server is `ask.server`."""

    def run(*handlers, key=None, **options):
        server = run.server = serve(cacerts=bag(ca.certificate), fullcmc=list(handlers))
        with EstClient(server.url, trusting(ca), clock=clock) as client:
            return client.fullcmc.enroll(key or new_key(), SPEC, shared_secret=SHARED, **options)

    return run
