"""A key under a TPM handle whose certificate has no place: a station is told at the key, and a configuration that names one ends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.http.messages import Request, Response
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.state import StateDirectory
from device_sdk.state.pem import fingerprint
from tests.agent.conftest import Device
from tests.agent.test_with_station import profile
from tests.agent.wires import Cable
from tests.station.conftest import Lab, Shop, shop

__all__ = ["shop"]

pytestmark = pytest.mark.slow


@pytest.fixture
def relayed(
    device: Device,
    cable: Callable[..., Cable],
    shop: Shop,
    swtpm: Swtpm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Lab, str]:
    """A station, and the profile of a device at its line whose key is under a handle; nothing says where its certificate is."""
    monkeypatch.delenv("DEVICE_SDK_CERTIFICATES")
    line, lab = cable(), Lab(shop, tmp_path, real_lines=True)
    device.start(line, "--line", line.device_path)
    return lab, profile(lab, device, line, "relay", f"tpm2:handle=0x81000010?tcti={swtpm.tcti}")


def test_a_station_is_told_at_the_key(relayed: tuple[Lab, str], device: Device, shop: Shop, tmp_path: Path) -> None:
    """The CA issues nothing; the next run, by a profile with the setting, provisions it."""
    lab, text = relayed
    (tmp_path / "file").touch()
    asked = len(shop.server.log())
    lab.run(profile=text.replace(*_placed(device, tmp_path / "file/certificates")))
    (failed,) = lab.told("device-failed")
    assert failed.step == "key"
    assert "certificates_dir" in failed.reason
    assert _issued(shop, asked) == 0
    there = device.home / "certificates"
    lab.run(profile=text.replace(*_placed(device, there)))
    assert lab.record_of("SN-1").state == "provisioned", lab.told("device-failed")
    assert len(list(there.iterdir())) == 1
    assert StateDirectory(device.home / "state").journal() is None


@pytest.mark.parametrize("mended", ["by another setting", "by hand"])
def test_a_certificate_that_was_issued_is_installed_by_a_later_run(
    mended: str, relayed: tuple[Lab, str], device: Device, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place is gone when the CA has answered; nobody is asked for another certificate."""
    lab, text = relayed
    top = device.home / "data"
    before, asked = text.replace(*_placed(device, top / "certificates")), len(shop.server.log())
    method, answer = shop.server.est._operations["simpleenroll"]

    def late(request: Request, route: Route) -> Response:
        top.touch()
        return answer(request, route)

    monkeypatch.setitem(shop.server.est._operations, "simpleenroll", (method, late))
    lab.run(profile=before)
    (failed,) = lab.told("device-failed")
    assert failed.step == "install"
    assert "certificates_dir" in failed.reason
    assert StateDirectory(device.home / "state").load().current is None
    there = device.home / "elsewhere" if mended == "by another setting" else top / "certificates"
    if mended == "by hand":
        top.unlink()
    lab.run(profile=text.replace(*_placed(device, there)))
    assert lab.record_of("SN-1").state == "provisioned", lab.told("device-failed")
    assert _issued(shop, asked) == 1
    current = StateDirectory(device.home / "state").load().current
    assert current is not None
    (kept,) = there.iterdir()
    assert fingerprint(x509.load_pem_x509_certificate(kept.read_bytes())) == current.certificate
    assert StateDirectory(device.home / "state").journal() is None
    assert str(there) in device.config.read_text()


def _placed(device: Device, directory: Path) -> tuple[str, str]:
    """What is replaced in a profile, so that it has the setting."""
    state_dir = f'state_dir = "{device.home}/state"\n'
    return state_dir, f'{state_dir}certificates_dir = "{directory}"\n'


def _issued(shop: Shop, since: int) -> int:
    return sum(entry["operation"] == "simpleenroll" for entry in shop.server.log()[since:])
