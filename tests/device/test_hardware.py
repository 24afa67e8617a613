"""The same device with its key in a token and in a TPM."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from typing import Any

import pytest

from device_sdk.errors import PinIncorrectError, PinRequiredError
from device_sdk.keystores import registry

pytestmark = pytest.mark.slow


def test_enrolment_and_renewal_with_a_token(softhsm_token: Any, objects, bench) -> None:
    """Renewal over TLS authenticated with the hardware key; one key, one certificate in the token afterwards."""
    first = bench.device.enroll(bench.planned(key_uri=softhsm_token.uri_of("device")))
    assert objects() == ["Certificate device", "Private Key device", "Public Key device"]
    second = bench.device.renew()
    (renewal,) = bench.logged("simplereenroll")
    assert renewal["client_serial"] == f"{first.certificate.serial_number:x}"
    assert objects() == ["Certificate device-2", "Private Key device-2", "Public Key device-2"]
    with bench.device.key() as key:
        assert not key.info.extractable
    assert registry.load_certificate(second.key_uri) == second.certificate
    bench.require_sound()


def test_a_missing_or_wrong_pin_makes_and_loses_nothing(softhsm_token: Any, objects, bench, tmp_path) -> None:
    uri = softhsm_token.uri_of("device")
    (tmp_path / "wrong").write_text("000000")
    for unusable, error in (
        (uri.partition("&pin-source")[0], PinRequiredError),
        (uri.replace(str(softhsm_token.pin_file), str(tmp_path / "wrong")), PinIncorrectError),
    ):
        with pytest.raises(error):
            bench.device.enroll(bench.planned(key_uri=unusable))
        assert bench.device.state.journal() is None
    assert objects() == []
    bench.device.enroll(bench.planned(key_uri=uri))
    bench.require_sound()


def persistent(tpm: Any) -> set[str]:
    listed = subprocess.run(
        ["tpm2_getcap", "handles-persistent"], capture_output=True, check=True, env=os.environ | tpm.environment, text=True, timeout=60
    ).stdout  # fmt: skip
    return set(re.findall(r"0x[0-9A-Fa-f]+", listed))


def test_enrolment_and_renewal_with_a_tpm_file(swtpm: Any, bench) -> None:
    bench.device.enroll(bench.planned(key_uri=f"tpm2:file={bench.keys}/device.pem?tcti={swtpm.tcti}"))
    bench.device.renew()
    assert bench.key_files() == ["device-2.pem"]
    assert "TSS2 PRIVATE KEY" in (bench.keys / "device-2.pem").read_text()
    bench.require_sound()


def test_enrolment_and_renewal_with_persistent_handles(swtpm: Any, bench) -> None:
    """Handles take turns: there are few of them in a real TPM."""
    before = persistent(swtpm)
    bench.device.enroll(bench.planned(key_uri=f"tpm2:handle=0x81000010?tcti={swtpm.tcti}"))
    assert persistent(swtpm) - before == {"0x81000010"}
    handles = []
    for _ in range(2):
        bench.device.renew()
        handles += sorted(persistent(swtpm) - before)
    assert handles == ["0x81000011", "0x81000010"]
    bench.require_sound()


def test_a_device_may_move_from_a_file_into_hardware(softhsm_token: Any, objects, bench) -> None:
    from device_sdk.client.device import RenewalPlan

    bench.device.enroll(bench.plan)
    bench.device.renew(RenewalPlan(key_uri=softhsm_token.uri_of("device")))
    assert bench.key_files() == []
    assert objects() == ["Certificate device", "Private Key device", "Public Key device"]
    moved = dataclasses.replace(bench.plan, key_uri=softhsm_token.uri_of("device"))
    assert not bench.device.enroll(moved).changed
    assert bench.device.renew().key_uri == softhsm_token.uri_of("device-2"), "and stays there"
    bench.require_sound()
