"""Every misfortune of a fleet really happens, and the SDK's own end of the line gets through or says why not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.serial.fleet.plan import FATAL, MISFORTUNES, FleetPlan
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.bench import KeyWish
from device_sdk.client.bench.agent import AgentDevice
from device_sdk.errors import BenchError
from device_sdk.transports.serial import LineSettings, open_line
from tests.simulators.serial.conftest import Issue

NAMES = sorted(set(MISFORTUNES) - {"silent", "wrong-baud"})
AT_STEPS = ("reset-before", "reset-after", "cut", "refuse", "slow")
QUIET = {"same-mac", "other-serial", "version", "html", "escapes", "replay", "other-answer", "progress", "long-message",
         "bad-json", "other-csr", "bad-proof", "endless", "long-line", "controls"}  # fmt: skip


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A device with each misfortune, and one without at the end."""
    lines = tmp_path_factory.mktemp("lines")
    plan = FleetPlan(
        len(NAMES) + 1, listen=lines, only=dict(enumerate(NAMES)), seed=11, linger_s=600, keepalive=1, slow_s=0.5
    )
    with Fleet(plan) as fleet:
        yield fleet


class Bench:
    """A station with one line, that tries again what a line spoilt."""

    def __init__(self, url: str, issue: Issue, anchors: bytes) -> None:
        self.url, self.issue, self.anchors = url, issue, anchors
        self.errors: list[str] = []

    def provision(self, tries: int, patience_s: float) -> dict[str, Any] | None:
        for _ in range(tries):
            try:
                return self.once(patience_s)
            except BenchError as error:
                self.errors.append(error.message)
                time.sleep(0.2)
                self.wait_for_the_cable()
        return None

    def wait_for_the_cable(self) -> None:
        """One that was pulled is back soon."""
        deadline = time.monotonic() + 30
        while not Path(self.url).exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    def once(self, patience_s: float) -> dict[str, Any]:
        with (
            open_line(self.url, LineSettings(baud=115200)) as line,
            AgentDevice(line, baud=115200, run="run-1", timeout_s=patience_s, silence_s=patience_s) as device,
        ):
            facts = device.facts()
            if facts.enrolled is None:
                device.configure(b"# nothing\n", self.anchors)
                device.create_key(KeyWish("tpm2:"))
                device.install(*self.issue(device.request()))
            proof = device.prove(b"p" * 32)
            return {"facts": facts, "proof": proof}


@pytest.fixture
def bench(fleet: Fleet, issue: Issue, issuer: ReferenceServer) -> Callable[[int], Bench]:
    return lambda number: Bench(fleet.lines()[number]["url"], issue, Path(issuer.ca_file).read_bytes())


@pytest.mark.parametrize("name", sorted(set(NAMES) - FATAL))
def test_a_device_gets_through(name: str, fleet: Fleet, bench: Callable[[int], Bench]) -> None:
    number = NAMES.index(name)
    station = bench(number)
    outcome = station.provision(4, 30)
    member = fleet.report()["members"][number]
    assert outcome is not None, (station.errors, member)
    assert outcome["facts"].serial_number == member["serial_number"]
    assert member["state"] == "proved"
    assert member["provisioned"] == 1
    assert len(member["keys"]) == 1
    if name in AT_STEPS:
        assert next(iter(member["faults"])).startswith(f"{name}@") or "cut" in member["faults"], member["faults"]
    elif name not in QUIET:
        assert sum(member["faults"].values()) > 0
    assert member["resets"] == name.startswith("reset-")


@pytest.mark.parametrize(
    "name", ["stuck", "progress", "long-message", "version", "bad-json", "endless", "long-line", "controls"]
)
def test_a_device_does_not_get_through_and_that_is_said(name: str, fleet: Fleet, bench: Callable[[int], Bench]) -> None:
    station = bench(NAMES.index(name))
    assert station.provision(1, 1.5) is None
    assert station.errors[0]
    assert fleet.report()["members"][NAMES.index(name)]["state"] != "proved"


def test_devices_that_are_not_who_they_say(fleet: Fleet, bench: Callable[[int], Bench]) -> None:
    liar, double = NAMES.index("other-serial"), NAMES.index("same-mac")
    plan = fleet.plan
    found = bench(liar).provision(2, 20)
    assert found is not None
    assert found["facts"].serial_number == plan.serial_number(liar + 1)
    found = bench(double).provision(2, 20)
    assert found is not None
    assert found["facts"].macs == (plan.mac(double + 1),)


def test_devices_that_show_another_key(fleet: Fleet, bench: Callable[[int], Bench]) -> None:
    false, other = NAMES.index("bad-proof"), NAMES.index("other-csr")
    found = bench(false).provision(2, 20)
    assert found is not None
    certificate = x509.load_der_x509_certificate(found["proof"].certificate)
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signed = b"device-sdk bench proof 1\0" + b"p" * 32 + certificate.fingerprint(hashes.SHA256())
    with pytest.raises(InvalidSignature):
        public.verify(found["proof"].signature, signed, ec.ECDSA(hashes.SHA256()))
    assert fleet.report()["members"][false]["state"] == "installed"
    station = bench(other)
    assert station.provision(1, 20) is None
    assert "no certificate for the key" in station.errors[0]


def test_a_device_without_any(fleet: Fleet, bench: Callable[[int], Bench]) -> None:
    station = bench(len(NAMES))
    assert station.provision(1, 30)
    assert fleet.report()["members"][len(NAMES)]["faults"] == {}
    assert fleet.report()["provisioned_twice"] == []
