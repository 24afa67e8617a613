from __future__ import annotations

import http.client
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.server.full_cmc_requests import SECRET
from tests.simulators.server.support import client_context


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in the test's directory; it must succeed within 30 s unless check=False."""

    def runner(*words: object, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=False,
            **options,
        )
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return runner


@pytest.fixture
def server(tmp_path: Path):
    with ReferenceServer(tmp_path / "server") as running:
        yield running


@pytest.fixture
def cmc(server: ReferenceServer) -> ReferenceServer:
    """The server with /fullcmc, and a shared secret."""
    server.policy.fullcmc = True
    server.est.full_cmc.store.add_secret("dev-1", SECRET.encode())
    return server


@pytest.fixture
def connect(server: ReferenceServer):
    """Open HTTPS connections with Python's own client."""
    opened = []

    def opener(**options) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(
            "localhost", server.port, context=client_context(server, **options), timeout=20
        )
        connection.connect()
        opened.append(connection)
        return connection

    yield opener
    for connection in opened:
        connection.close()
