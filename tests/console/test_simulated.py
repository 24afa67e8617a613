"""Simulated consoles with everything that can go wrong; each with a real shell behind its login."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.serial.console.device import ConsoleStyle
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.serial.fleet.plan import FATAL, FleetPlan

from device_sdk.client.bench import KeyWish
from device_sdk.client.bench.console import ConsoleDevice, ConsoleSettings
from device_sdk.client.bench.console.session import Session
from device_sdk.client.bench.facts import PROOF_CONTEXT
from device_sdk.errors import BenchError, DeviceSaysError, LineError, LineSilentError
from device_sdk.model.secret import Secret
from device_sdk.transports.serial import open_line
from tests.simulators.serial.conftest import issue, issuer

__all__ = ["issue", "issuer"]

Issue = Callable[[bytes], tuple[bytes, bytes]]
PASSWORD = "only once"
SETTINGS = ConsoleSettings(
    user="root",
    password=lambda: Secret(PASSWORD),
    silence_s=20,
    boot_s=40,
    login_s=60,
    answer_s=20,
    verb_s=20,
    boot_loader=True,
)
CHOSEN = (
    "none", "noise", "overrun", "kernel", "cut-anywhere", "stuck", "wrong-baud", "reset-before", "reset-after", "cut", "refuse",
    "silent", "slow", "endless", "escapes", "controls",
)  # fmt: skip
EXPECTED = {
    "refuse": DeviceSaysError,
    "controls": LineError,
    "stuck": LineSilentError,
    "wrong-baud": LineSilentError,
    "silent": LineSilentError,
}


@dataclass
class Outcome:
    """How it ended."""

    error: Exception | None = None
    proved: bool = False
    excerpt: str = ""
    variables: str | None = None


def provision(url: str, issue: Issue, outcome: Outcome) -> None:
    """A cable that is pulled is put back, as somebody at the bench would: the same run goes on."""
    deadline = time.monotonic() + 100
    while True:
        try:
            attempt(url, issue, outcome)
        except LineError as error:
            outcome.error = error
            cut = "has gone" in str(error) or "cannot be opened" in str(error)
            if not cut or time.monotonic() > deadline:
                return
            while not Path(url).exists() and time.monotonic() < deadline:
                time.sleep(0.05)
        except Exception as error:  # noqa: BLE001  # what it is, the test looks at
            outcome.error = error
            return
        else:
            outcome.error = None
            return


def attempt(url: str, issue: Issue, outcome: Outcome) -> None:
    """From facts to proof."""
    with open_line(url) as line, ConsoleDevice(line, SETTINGS) as device:
        try:
            facts = device.facts()
            outcome.variables = facts.extra.get("boot-loader.serial#", outcome.variables)
            device.configure(b'[est]\nurl = "https://est.example"\n', b"")
            key = device.create_key(KeyWish("tpm2:"))
            answer, chain = issue(device.request())
            digest = device.install(answer, chain)
            proof = device.prove(b"n" * 32)
        finally:
            outcome.excerpt = line.excerpt()
    certificate = x509.load_der_x509_certificate(proof.certificate)
    outcome.proved = certificate.fingerprint(hashes.SHA256()) == digest and bool(key.public_key)
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(proof.signature, PROOF_CONTEXT + b"n" * 32 + digest, ec.ECDSA(hashes.SHA256()))


@pytest.fixture(scope="module")
def outcomes(issue: Issue, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """A device for each misfortune, and one without any, all at the same time."""
    names = CHOSEN
    plan = FleetPlan(
        devices=len(names),
        way="console",
        only={number: name for number, name in enumerate(names) if name != "none"},
        listen=tmp_path_factory.mktemp("lines"),
        console=ConsoleStyle(shell="busybox", password=PASSWORD, boot_loader=True),  # noqa: S604 - the name of one
    )
    found = {name: Outcome() for name in names}
    with Fleet(plan) as fleet:
        threads = [
            threading.Thread(target=provision, args=(line["url"], issue, found[names[number]]))
            for number, line in enumerate(fleet.lines())
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOSEN)
def test_ends_provisioned_or_with_an_error_of_its_own(name: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[name]
    assert PASSWORD not in outcome.excerpt
    if name in EXPECTED:
        assert isinstance(outcome.error, EXPECTED[name]), outcome
        assert (outcome.error.line or "").rpartition("/")[2].startswith("ttySIM")
    elif outcome.error is not None:
        assert isinstance(outcome.error, BenchError), outcome
        assert name in FATAL or name == "cut-anywhere", outcome
    else:
        assert outcome.proved


def test_files_go_where_the_device_keeps_such(tmp_path: Path) -> None:
    """Its own TMPDIR; a simulated board's is not this machine's /tmp, and is empty after a start."""
    plan = FleetPlan(
        1, way="console", listen=tmp_path / "lines", disks=tmp_path / "disks", console=ConsoleStyle(password=PASSWORD)
    )
    with Fleet(plan) as fleet, open_line(fleet.lines()[0]["url"]) as line:
        session = Session(line, replace(SETTINGS, boot_loader=False))
        assert session.do(lambda it: it.run('[ "${t%/*}" = "$TMPDIR" ]')) == 0
        (made,) = tmp_path.glob("disks/*/tmp/device-sdk-bench.*")
        session.close()
        assert not made.exists()
    (made.parent / "left").write_text("by a board that was switched off")
    with Fleet(plan):
        assert list(made.parent.iterdir()) == []
