"""Two stations never have the same device, and who lost a claim writes nothing more about it."""

from __future__ import annotations

from typing import Any

import pytest

from device_sdk.errors import ClaimLostError, DeviceClaimedError, DeviceProvisionedError, LedgerError, WrongDeviceError
from device_sdk.station.ledger import Entry, Ledger, chain
from tests.station.ledger.conftest import Clock

MAC = "02:00:5e:10:00:01"
KEY, OTHER_KEY = "a1" * 32, "b2" * 32


def test_a_device_has_one_station(ledger: Ledger) -> None:
    claim = ledger.claim("SN1", "bench-a", "run-1", 60, line="/dev/ttyUSB0")
    with pytest.raises(DeviceClaimedError, match="bench-a") as caught:
        ledger.claim("SN1", "bench-b", "run-2", 60)
    assert (caught.value.station, caught.value.serial_number) == ("bench-a", "SN1")
    assert ledger.holder("SN1") == ("bench-a", "run-1")
    assert ledger.append("step", claim=claim, step="key", outcome="done").claim == claim.number
    ledger.release(claim)
    assert ledger.holder("SN1") is None
    ledger.claim("SN1", "bench-b", "run-2", 60)


def test_not_even_the_same_run_takes_it_twice(ledger: Ledger) -> None:
    """Two lines on which one serial number answers."""
    ledger.claim("SN1", "bench-a", "run-1", 60, line="/dev/ttyUSB0")
    with pytest.raises(DeviceClaimedError):
        ledger.claim("SN1", "bench-a", "run-1", 60, line="/dev/ttyUSB1")


def test_a_claim_runs_out_and_its_station_is_fenced(ledger: Ledger, clock: Clock) -> None:
    lost = ledger.claim("SN1", "bench-a", "run-1", 60)
    clock.now += 61
    taken = ledger.claim("SN1", "bench-b", "run-2", 60)
    before = ledger.head()
    for late in (
        lambda: ledger.append("step", claim=lost, step="install", outcome="done"),
        lambda: ledger.append("provisioned", claim=lost),
        lambda: ledger.append("failed", claim=lost),
        lambda: ledger.append("note", claim=lost),
        lambda: ledger.renew(lost),
        lambda: ledger.release(lost),
    ):
        with pytest.raises(ClaimLostError, match="SN1"):
            late()
    assert ledger.head() == before
    assert ledger.append("provisioned", claim=taken).number == before.number + 1


def test_a_claim_that_ran_out_is_good_until_somebody_takes_it(ledger: Ledger, clock: Clock) -> None:
    claim = ledger.claim("SN1", "bench-a", "run-1", 60)
    clock.now += 3600
    ledger.append("step", claim=claim, step="key", outcome="done")
    with pytest.raises(DeviceClaimedError):
        ledger.claim("SN1", "bench-b", "run-2", 60)


@pytest.mark.parametrize("sign", ["renew", "append"])
def test_signs_of_life_extend_a_claim(ledger: Ledger, clock: Clock, sign: str) -> None:
    claim = ledger.claim("SN1", "bench-a", "run-1", 60)
    clock.now += 50
    if sign == "renew":
        assert ledger.renew(claim).until == clock.now + 60
    else:
        ledger.append("step", claim=claim, step="key", outcome="done")
    clock.now += 50
    with pytest.raises(DeviceClaimedError):
        ledger.claim("SN1", "bench-b", "run-2", 60)


def test_a_killed_station_takes_its_devices_back(ledger: Ledger) -> None:
    old = [ledger.claim(name, "bench-a", "run-1", 3600) for name in ("SN1", "SN2")]
    other = ledger.claim("SN3", "bench-b", "run-1", 3600)
    assert [entry.outcome for entry in ledger.release_all("bench-a", "run-1")] == ["interrupted"] * 2
    ledger.claim("SN1", "bench-a", "run-1", 3600)
    with pytest.raises(ClaimLostError):
        ledger.append("step", claim=old[0], step="key")
    ledger.append("step", claim=other, step="key")
    record = ledger.device("SN2")
    assert record is not None
    assert record.state == "released"
    ledger.verify()


@pytest.mark.parametrize("kind", ["step", "provisioned", "failed"])
def test_what_counts_needs_a_claim(ledger: Ledger, kind: str) -> None:
    with pytest.raises(LedgerError, match="needs the station's claim"):
        ledger.append(kind, device="SN1")


def test_a_line_may_fail_without_a_device(ledger: Ledger) -> None:
    assert ledger.append("failed", line="/dev/ttyUSB0", facts={"reason": "no prompt"}).device is None


def test_claims_and_releases_are_not_written_by_hand(ledger: Ledger) -> None:
    for kind in ("claimed", "released", "invented"):
        with pytest.raises(LedgerError):
            ledger.append(kind, device="SN1")
    claim = ledger.claim("SN1", "bench-a", "run-1", 60)
    with pytest.raises(LedgerError, match="another device"):
        ledger.append("step", device="SN2", claim=claim)


def test_a_device_that_came_often_keeps_nobody_waiting(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a station claims it no other one can write; how much is read then is not the device's to say."""
    for _ in range(30):
        ledger.append("seen", device="SN1")
    read: list[object] = []
    of_row = chain.of_row

    def counted(row: Any) -> Entry:
        read.append(row)
        return of_row(row)

    monkeypatch.setattr(chain, "of_row", counted)
    ledger.append("provisioned", claim=ledger.claim("SN1", "bench-a", "run-1", 60))
    assert len(read) < 5


def test_a_device_is_provisioned_once_unless_somebody_says_again(ledger: Ledger) -> None:
    claim = ledger.claim("SN1", "bench-a", "run-1", 60)
    ledger.append("provisioned", claim=claim)
    with pytest.raises(DeviceProvisionedError):
        ledger.append("provisioned", claim=claim)
    ledger.release(claim)
    with pytest.raises(DeviceProvisionedError, match="run-1") as caught:
        ledger.claim("SN1", "bench-b", "run-2", 60)
    assert caught.value.run == "run-1"
    again = ledger.claim("SN1", "bench-b", "run-2", 60, again=True)
    ledger.append("provisioned", claim=again)
    assert [entry.run for entry in ledger.entries(kind="provisioned")] == ["run-1", "run-2"]


def test_one_address_under_two_serial_numbers(ledger: Ledger) -> None:
    first = ledger.claim("SN1", "bench-a", "run-1", 60, facts={"macs": [MAC]})
    with pytest.raises(WrongDeviceError, match="that of device SN1"):
        ledger.claim("SN2", "bench-a", "run-1", 60, facts={"macs": ["02:00:5e:10:00:99", MAC.upper()]})
    entry = ledger.newest(1)[0]
    assert (entry.kind, entry.device, entry.outcome) == ("note", "SN2", "refused")
    assert entry.facts["other_device"] == "SN1"
    assert ledger.holder("SN2") is None
    ledger.append("step", claim=first, step="identify", facts={"macs": [MAC]})
    moved = ledger.claim("SN2", "bench-a", "run-1", 60, facts={"macs": [MAC]}, again=True)
    ledger.append("step", claim=moved, step="identify", facts={"macs": [MAC]})
    with pytest.raises(WrongDeviceError, match="that of device SN2"):
        ledger.append("step", claim=first, step="identify", facts={"macs": [MAC]})


def test_another_key_under_the_same_serial_number(ledger: Ledger) -> None:
    claim = ledger.claim("SN1", "bench-a", "run-1", 60)
    ledger.append("step", claim=claim, step="key", facts={"public_key_sha256": KEY})
    with pytest.raises(WrongDeviceError, match="another public key"):
        ledger.append("step", claim=claim, step="key", facts={"public_key_sha256": OTHER_KEY})
    record = ledger.device("SN1")
    assert record is not None
    assert record.state == "failed"
    assert "another public key" in (record.reason or "")
    ledger.release(claim)
    again = ledger.claim("SN1", "bench-a", "run-2", 60, again=True)
    ledger.append("step", claim=again, step="key", facts={"public_key_sha256": OTHER_KEY})


def test_one_key_in_two_devices_is_never_meant(ledger: Ledger) -> None:
    first = ledger.claim("SN1", "bench-a", "run-1", 60)
    ledger.append("step", claim=first, step="key", facts={"public_key_sha256": KEY})
    second = ledger.claim("SN2", "bench-a", "run-1", 60, again=True)
    with pytest.raises(WrongDeviceError, match="that of device SN1"):
        ledger.append("step", claim=second, step="key", facts={"public_key_sha256": KEY})
    ledger.verify()


@pytest.mark.parametrize("name", ["", " SN1", "SN1\n", "\x1b[2J", "x" * 65, "SN\0"])
def test_serial_numbers_that_cannot_be(ledger: Ledger, name: str) -> None:
    with pytest.raises(WrongDeviceError, match="cannot be a serial number"):
        ledger.claim(name, "bench-a", "run-1", 60)
    with pytest.raises(WrongDeviceError, match="cannot be a serial number"):
        ledger.append("seen", device=name)
    assert ledger.head().number == 0


def test_who_looks_at_the_first_devices_only(ledger: Ledger) -> None:
    for number in range(3):
        ledger.append("seen", device=f"SN{number}")
    devices = ledger.devices()
    assert next(devices).serial_number == "SN0"
    devices.close()  # type: ignore[attr-defined]  # a generator
    assert [record.serial_number for record in ledger.devices()] == ["SN0", "SN1", "SN2"]
