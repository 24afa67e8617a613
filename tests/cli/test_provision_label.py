"""`device-sdk provision label`."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_sdk.station.ledger import Ledger
from tests.cli.conftest import Cli
from tests.station.scanner import scan


@pytest.fixture
def lab(cli: Cli) -> Cli:
    """A run with two devices that are provisioned and one that failed."""
    place = cli.directory / "ledger.sqlite"
    with Ledger.open(place) as ledger:
        for number in range(3):
            claim = ledger.claim(f"SN{number}", "bench-a", "run-1", 60)
            kind = "failed" if number == 2 else "provisioned"
            ledger.append(kind, claim=claim, facts={"certificate_sha256": f"{number}" * 64, "reason": "no key"})
            ledger.release(claim)
            ledger.append("seen", device=f"SN{number}", run="run-2")
    cli.environment["DEVICE_SDK_STATION_LEDGER"] = str(place)
    return cli


def test_labels(lab: Cli, tmp_path: Path) -> None:
    assert "SN1</text>" in lab.ok("provision", "label", "SN1").out
    sheet = lab.ok("provision", "label", "--run", "run-1", "--format", "html").out
    assert (sheet.count("<li>"), sheet.count("SN2")) == (2, 0)
    assert lab.ok("provision", "label", "SN0", "SN1", "--format", "zpl").out.count("^XA") == 2
    code = tmp_path / "code.png"
    lab.ok("provision", "label", "SN0", "--format", "png", "--out", code)
    assert scan(code) == [f"SN0\nsha256:{'0' * 64}"]


def test_no_label(lab: Cli) -> None:
    assert "is failed: no key" in lab.fails(2, "provision", "label", "SN2")
    assert "knows no device" in lab.fails(2, "provision", "label", "SN9")
    assert "no device was provisioned" in lab.fails(2, "provision", "label", "--run", "run-9")
    assert "no device was provisioned" in lab.fails(2, "provision", "label", "--run", "run-2"), "it only met them"
    assert "one label, not 2" in lab.fails(2, "provision", "label", "SN0", "SN1")
    assert "either serial numbers or a run" in lab.fails(2, "provision", "label")


def test_who_proved_nothing_has_no_fingerprint(lab: Cli) -> None:
    """Configured only, after an attempt that came to a certificate; and in the middle, before the proof and behind it."""
    old = "f" * 64

    def fingerprint(name: str) -> bool:
        said = lab.ok("provision", "label", name).out
        assert ("NOT ENROLLED" in said) != ("f" * 16 in said)
        return "f" * 16 in said

    with Ledger.open(lab.environment["DEVICE_SDK_STATION_LEDGER"]) as ledger:
        claim = ledger.claim("SN7", "bench-a", "run-1", 60)
        ledger.append("step", step="install", outcome="done", claim=claim, facts={"certificate_sha256": old})
        assert not fingerprint("SN7")
        for outcome in ("begun", "done", "begun"):
            ledger.append("step", step="prove", outcome=outcome, claim=claim)
            assert fingerprint("SN7") == (outcome == "done")
        ledger.append("failed", claim=claim)
        ledger.release(claim)
        claim = ledger.claim("SN7", "bench-a", "run-2", 60)
        ledger.append("provisioned", outcome="configured", claim=claim)
    assert not fingerprint("SN7")
