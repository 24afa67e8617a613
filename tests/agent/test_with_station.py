"""A station's run with real agents on its lines, from the factory to a proof: the station asks the server, or the device does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.state import StateDirectory
from tests.agent.conftest import Device
from tests.agent.wires import Cable, Harm
from tests.station.conftest import Lab, Shop, shop

__all__ = ["shop"]


def profile(lab: Lab, device: Device, line: Cable, mode: str, key: str) -> str:
    """That of the shop, with this device's places."""
    text = lab.shop.profile(mode, lines=f'urls = ["{line.station_path}"]', talk='way = "agent"')
    text = text.replace('uri = "tpm2:"', f'uri = "{key}"')
    if not key.startswith("tpm2:"):
        text = text.replace("[key.attested]\nfixed_tpm = true", "")
    return text.replace(
        '[identity]\nsubject = "CN=${serial_number}"',
        f'state_dir = "{device.home}/state"\n[identity]\nserial = "${{serial_number}}"\nsubject = "CN=${{serial_number}}"',
    )


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "keys"), [("relay", "swtpm"), ("self", "softhsm_token")])
def test_a_run(
    mode: str,
    keys: str,
    device: Device,
    cable: Callable[..., Cable],
    shop: Shop,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """The key is in a TPM or in a token, whose PIN is in a file of the device."""
    hardware: SoftHsm | Swtpm = request.getfixturevalue(keys)
    key = hardware.uri_of("device") if isinstance(hardware, SoftHsm) else f"tpm2:handle=0x81000010?tcti={hardware.tcti}"
    line = cable(Harm(flipped=3e-4))
    lab = Lab(shop, tmp_path, real_lines=True)
    password = device.home / "password"
    password.write_text(shop.server.password)
    password.chmod(0o600)
    # named by the device's owner: an agent takes no such setting from a station
    owner = device.home / "config.d" / "password.toml"
    owner.parent.mkdir()
    owner.write_text(f'[est]\npassword_file = "{password}"\n')
    agent = device.start(line, "--line", line.device_path)
    tally = lab.run(profile=profile(lab, device, line, mode, key))
    assert agent.poll() is None
    record = lab.record_of("SN-1")
    current = StateDirectory(device.home / "state").load().current
    assert current is not None, (tally, lab.told("device-failed"))
    assert record.state == "provisioned", (tally, lab.told("device-failed"))
    assert current.certificate in repr(record)
