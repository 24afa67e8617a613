"""Where the PIN of a run comes from, and how often it is presented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_sdk.client.device import Device, RenewalPlan
from device_sdk.errors import PinRequiredError
from device_sdk.model.secret import Secret

SPY = "/usr/lib/x86_64-linux-gnu/pkcs11-spy.so"


def with_pin_value(token: Any, label: str) -> str:
    return token.uri_of(label).replace(f"pin-source=file:{token.pin_file}", f"pin-value={token.pin}")


@pytest.mark.slow
def test_enrolment_with_the_pin_in_the_key_uri_finishes_and_keeps_no_pin(softhsm_token: Any, bench) -> None:
    uri = with_pin_value(softhsm_token, "device")
    assert "pin-value" in uri
    outcome = bench.device.enroll(bench.planned(key_uri=uri))
    assert any("PIN" in note for note in outcome.notes)
    assert "pin-value" not in outcome.key_uri
    kept = b"".join(path.read_bytes() for path in bench.device.state.path.rglob("*") if path.is_file())
    assert softhsm_token.pin.encode() not in kept
    with pytest.raises(PinRequiredError):
        bench.device.renew()
    device = Device(bench.device.state.path, pin=lambda _: Secret(softhsm_token.pin), clock=bench.clock)
    assert device.renew().notes == ()
    device.renew(RenewalPlan(key_uri=with_pin_value(softhsm_token, "named")))


def test_another_key_in_the_token_of_the_pin_goes_too(softhsm_token: Any, objects, bench) -> None:
    bench.device.enroll(bench.planned(key_uri=with_pin_value(softhsm_token, "device")))
    bench.device.enroll(bench.planned(key_uri=with_pin_value(softhsm_token, "other"), again=True))
    assert objects() == ["Certificate other", "Private Key other", "Public Key other"]


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["enroll", "renew"])
def test_one_run_logs_in_once(softhsm_token: Any, spec: dict[str, str], new_runner, tmp_path: Path, operation) -> None:
    """Every login makes SoftHSM rewrite the token's file in place: fewer of them are fewer chances to lose it."""
    log = tmp_path / "spy.txt"
    spec["key_uri"] = softhsm_token.uri_of("device").replace(softhsm_token.module_path, SPY)
    runner = new_runner("env", f"PKCS11SPY={softhsm_token.module_path}", f"PKCS11SPY_OUTPUT={log}")
    runner.finish("enroll", spec)
    if operation == "renew":
        log.unlink()
        runner.finish("renew", spec)
    calls = log.read_text().count(": C_Login\n")
    assert calls == 1, f"{calls} logins"
