"""A station and a virtual device on its serial console: from power-on in factory state to proved, and cut off in the middle."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.virtual import VirtualDevice
from device_sdk_simulators.virtual.image import PASSWORD

from device_sdk.station.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PROFILE = """
[profile]
name = "virtual"
version = "1"
mode = "relay"
[lines]
globs = ["{place}/lines/*"]
poll_s = 0.2
watch = true
[talk]
way = "console"
user = "root"
password_file = "{place}/password"
[key]
uri = "tpm2:file=/data/device.tss2"
[key.attested]
fixed_tpm = true
sensitive_data_origin = true
[est]
url = "{url}"
anchors = "{anchors}"
ra_certificate = "{place}/ra.pem"
ra_key = "file:{place}/ra.key"
[device]
config = '''
[identity]
subject = "CN=${{serial_number}}"
serial = "dmi"
[est]
url = "https://server.bench:8443"
[key]
uri = "tpm2:file=/data/device.tss2"
'''
[limits]
device_s = 1800
step_s = 300
retries = 20
"""


@pytest.fixture
def profile(tmp_path: Path, server: ReferenceServer) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    chain = server.registration_authority("station", key.public_key()).public_bytes(Encoding.PEM)
    (tmp_path / "ra.pem").write_bytes(chain + server.issuer_file.read_bytes())
    (tmp_path / "ra.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "password").write_text(PASSWORD)
    for name in ("ra.key", "password"):
        (tmp_path / name).chmod(0o600)
    (tmp_path / "lines").mkdir()
    file = tmp_path / "virtual.toml"
    file.write_text(PROFILE.format(place=tmp_path, url=server.url, anchors=server.ca_file))
    return file


def plug(place: Path, console: str) -> None:
    """As udev does: a name that stays the same, whatever number the line has."""
    line = place / "lines" / "tty-virtual"
    line.unlink(missing_ok=True)
    line.symlink_to(console)


def station(place: Path, profile: Path) -> subprocess.Popen[str]:
    words = ["provision", "run", profile, "--devices", "1", "--plain", "--ledger", place / "ledger.sqlite"]
    return subprocess.Popen(
        [sys.executable, "-m", "device_sdk.cli.main", *map(str, words), "--directory", str(place / "station")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_station_provisions_it_over_its_console_through_a_power_cut(
    new_device: Callable[..., VirtualDevice], server: ReferenceServer, profile: Path, tmp_path: Path
) -> None:
    with new_device("VD-BENCH-1") as device:
        plug(tmp_path, device.power_on())
        said, cut = [], False
        with station(tmp_path, profile) as process:
            watchdog = threading.Timer(1000, process.kill)
            watchdog.start()
            for line in process.stdout or ():
                said.append(line)
                if "request: done" in line and not cut:
                    cut = True
                    device.power_cut()
                    plug(tmp_path, device.power_on())
            watchdog.cancel()
        assert process.returncode == 0, "".join(said)
        assert cut, "".join(said)
        with Ledger.open(tmp_path / "ledger.sqlite", read_only=True) as ledger:
            ledger.verify()
            record = ledger.device("VD-BENCH-1")
        assert record is not None
        assert record.state == "provisioned", "".join(said)
        (issued,) = [one for one in server.est.register.entries() if "VD-BENCH-1" in str(one["subject"])]
        assert record.facts["certificate_serial"] == issued["serial"]
        assert record.facts["attestation"]["fixed_tpm"] is True  # type: ignore[index]  # JSON
