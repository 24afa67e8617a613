"""Fleets of simulated devices, as a station meets them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.serial.fleet.plan import FleetPlan
from device_sdk_simulators.serial.refusal import RefusalError
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.serial.conftest import Issue
from tests.simulators.serial.station import RefusedError, Station

Provision = Callable[[Station], dict[str, Any]]


@pytest.mark.parametrize("listen", ["pty", "tcp", "rfc2217"])
def test_devices_follow_each_other_on_a_line(listen: str, tmp_path: Path, provision: Provision) -> None:
    where = tmp_path / "lines" if listen == "pty" else listen
    plan = FleetPlan(devices=3, lines=1, listen=where, swap_s=0.05, seed=7)
    seen = {}
    with Fleet(plan) as fleet:
        for number in range(3):
            while (line := fleet.lines()[0])["device"] != plan.serial_number(number):
                assert not fleet.finished.is_set()
            with Station(line["url"]) as station:
                facts = provision(station)
            seen[facts["serial_number"]] = facts["certificate"]
        assert fleet.wait(60)
        assert not list(tmp_path.glob("lines/*"))
        report = fleet.report()
    assert report["states"] == {"proved": 3}
    assert report["provisioned_twice"] == []
    assert {one["serial_number"]: one["certificates"][-1] for one in report["members"]} == seen
    assert len(seen) == 3


@pytest.mark.slow
def test_a_device_waits_for_a_station_that_was_killed_right_after_the_proof(
    tmp_path: Path, provision: Provision
) -> None:
    """The station may not have written that down: it comes back, and only its leave says that it is done."""
    plan = FleetPlan(devices=2, lines=1, listen=tmp_path / "lines", swap_s=0.05, seed=7, linger_s=600)
    with Fleet(plan) as fleet:
        line = fleet.lines()[0]
        with Station(line["url"]) as station:
            station.bye = lambda: None  # type: ignore[method-assign]
            provision(station)
        time.sleep(1.0)
        assert fleet.lines()[0]["device"] == plan.serial_number(0)
        with Station(line["url"]) as station:
            station.hello()
            station.bye()
        while fleet.lines()[0]["device"] != plan.serial_number(1):
            assert not fleet.finished.is_set()


@pytest.mark.parametrize("keys", ["softhsm", "swtpm"])
def test_keys_in_tokens_and_tpms(keys: str, tmp_path: Path, issue: Issue) -> None:
    with Fleet(FleetPlan(devices=1, keys=keys, disks=tmp_path), enrol=None) as fleet:
        board = fleet.members[0].board
        assert board.facts()["keystores"] == list(board.keys.keystores)
        made = board.create_key(board.keys.keystores[0], "ec-p256", file_allowed=False)
        assert made.attestation["simulated"] == keys
        board.configure(b"", b"")
        answer, chain = issue(board.request(b""))
        board.install(answer, chain)
        board.keys.rest()
        der, signature = board.prove(b"n" * 32)
        certificate = x509.load_der_x509_certificate(der)
        public = certificate.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        signed = b"device-sdk bench proof 1\0" + b"n" * 32 + certificate.fingerprint(hashes.SHA256())
        public.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        assert fleet.report()["states"] == {"proved": 1}
        with pytest.raises(RefusalError, match="no rsa-2048 at"):
            board.create_key(board.keys.keystores[0], "rsa-2048", file_allowed=False, again=True)


def test_a_device_enrols_itself(issuer: ReferenceServer, tmp_path: Path) -> None:
    config = f'[est]\nurl = "{issuer.url}"\nuser = "{issuer.user}"\n[key]\nuri = "tpm2:"\n'.encode()
    with Fleet(FleetPlan(1, password=issuer.password)) as fleet, Station(fleet.lines()[0]["url"]) as station:
        station.hello()
        with pytest.raises(RefusedError, match="configuration"):
            station.ask("enrol")
        station.ask("configure", config=config, anchors=(issuer.state / "cale" / "root.pem").read_bytes())
        with pytest.raises(RefusedError, match="transport"):
            station.ask("enrol")
        assert fleet.report()["members"][0]["provisioned"] == 0
        station.ask("configure", config=config, anchors=issuer.ca_file.read_bytes())
        mine = station.ask("enrol", "first")["certificate"]
        assert station.ask("enrol", "first")["certificate"] == mine
        with pytest.raises(RefusedError, match="id-reused"):
            station.ask("create-key", "first", uri="tpm2:", type="ec-p256", file_allowed=False)
        station.hello()
        with pytest.raises(RefusedError, match="device-enrolled"):
            station.ask("configure", config=config, anchors=b"")
        assert station.ask("facts")["enrolled"] == mine
        assert fleet.report()["members"][0]["provisioned"] == 1
