"""Fixtures for any project: a token, a TPM and servers, each private to one test.

`softhsm_token`, `swtpm`, `est_server`, `cale_server` and `fleet_of` start real programs on Unix sockets or free ports in the test's
own directory, so that tests run side by side, and end them when the test ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

if TYPE_CHECKING:
    from device_sdk_simulators.serial.fleet.fleet import Fleet
    from device_sdk_simulators.server import ReferenceServer


@pytest.fixture
def softhsm_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """A fresh SoftHSM2 token; SOFTHSM2_CONF points to it while the test runs."""
    with SoftHsm(tmp_path / "softhsm") as token:
        for name, value in token.environment.items():
            monkeypatch.setenv(name, value)
        yield token


@pytest.fixture
def swtpm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Swtpm]:
    """A fresh TPM 2.0; TPM2TOOLS_TCTI and TPM2OPENSSL_TCTI point to it while the test runs."""
    with Swtpm(tmp_path / "swtpm") as tpm:
        for name, value in tpm.environment.items():
            monkeypatch.setenv(name, value)
        yield tpm


@pytest.fixture
def est_server(tmp_path: Path) -> Iterator[ReferenceServer]:
    """A reference server with one Basic user, serving EST and CALE over TLS on a free port of the loopback address."""
    from device_sdk_simulators.server import ReferenceServer

    with ReferenceServer(tmp_path / "server") as server:
        yield server


@pytest.fixture
def cale_server(est_server: ReferenceServer) -> ReferenceServer:
    """The same server, for tests that only speak CALE (`cale_url`)."""
    return est_server


@pytest.fixture
def fleet_of(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """A function that starts fleets of simulated devices: its arguments are those of `FleetPlan`.

    Lines are ptys in `lines` of the test's directory, if nothing else is said.
    """
    from device_sdk_simulators.serial.fleet.fleet import Fleet
    from device_sdk_simulators.serial.fleet.plan import FleetPlan

    with ExitStack() as running:

        def start(**plan: Any) -> Fleet:
            return running.enter_context(Fleet(FleetPlan(**{"listen": tmp_path / "lines"} | plan)))

        yield start
