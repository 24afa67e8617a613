"""What hw/ has for boards: a station takes its profiles, a device the configurations made of them, and no agent runs as root."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from device_sdk_simulators.server import ReferenceServer

from device_sdk.station.profile import load_profile
from tests.cli.conftest import Cli

HERE = Path(__file__).parents[2] / "hw" / "profiles"
WORDS = {"serial_number": "00000000abcdef01", "mac": "b8:27:eb:00:00:01", "model": "board"}


@pytest.fixture
def place(tmp_path: Path, est_server: ReferenceServer) -> Path:
    """The profiles with the files they name beside them."""
    place = tmp_path / "profiles"
    shutil.copytree(HERE, place)
    shutil.copy(est_server.ca_file, place / "est-anchors.pem")
    shutil.copy(est_server.ca_file, place / "station.pem")
    for name in ("station.pin", "lab.password"):
        (place / name).write_text("123456\n")
        (place / name).chmod(0o600)
    return place


@pytest.mark.parametrize("name", sorted(path.name for path in HERE.glob("*.toml")))
def test_a_station_and_a_device_take_it(tmp_path: Path, place: Path, name: str) -> None:
    cli = Cli(tmp_path)
    assert "steps:" in cli.ok("provision", "run", place / name, "--plan").out
    config = load_profile(place / name).device.config
    if config is not None:
        (tmp_path / "device.toml").write_bytes(config.render(WORDS))
        assert WORDS["serial_number"] in cli.ok("--config", tmp_path / "device.toml", "config").out


FILES = {
    "openwrt-router.toml": {"est-anchors.pem", "station.pin"},
    "raspberry-pi-tpm.toml": {"est-anchors.pem", "lab.password"},
    "usb-token.toml": {"est-anchors.pem", "station.pin"},
}


@pytest.mark.parametrize("name", FILES)
def test_a_plan_takes_the_files_that_the_readme_names(tmp_path: Path, place: Path, name: str) -> None:
    text = (HERE.parent / "README.md").read_text()
    (told,) = (line for line in text.splitlines() if "provision run PROFILE --plan" in line)
    assert all(f"`{file}`" in told for file in (name, *FILES[name]))
    for file in place.iterdir():
        if file.name not in FILES[name] | {name}:
            file.unlink()
    cli = Cli(tmp_path)
    cli.ok("provision", "run", place / name, "--plan")
    for file in FILES[name]:
        (place / file).rename(place / "kept")
        assert f"cannot read {place / file}" in cli.fails(2, "provision", "run", place / name, "--plan")
        (place / "kept").rename(place / file)


def test_there_is_one_for_each_kind_of_board() -> None:
    assert len(list(HERE.glob("*.toml"))) >= 3


_OPENWRT = """
user_exists() { [ -e user ]; }
group_add_next() { echo 65536; }
procd_open_instance() { echo opened; }
procd_close_instance() { echo closed; }
procd_set_param() { echo "$*"; }
for name in mkdir chmod chown chgrp logger; do eval "$name() { :; }"; done
"""


@pytest.mark.parametrize("made", [True, False])
def test_the_agent_of_openwrt_is_never_root(tmp_path: Path, made: bool) -> None:
    """procd starts it as root if its user is not there, so that the script makes one, or starts nothing."""
    add = 'user_add() { [ "$1 $2 $3" = "device-sdk  65536" ] && touch user; }' if made else "user_add() { return 1; }"
    script = HERE.parent / "openwrt" / "device-sdk-agent.init"
    done = subprocess.run(
        ["sh", "-c", f"{_OPENWRT}{add}\n. {script}\nstart_service"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    said = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0 if made else 1, "")
    assert ("user device-sdk" in said) == ("opened" in said) == made
