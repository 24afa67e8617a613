"""The profiles of hw/: a station takes them, and a device takes the configuration that is made of them."""

from __future__ import annotations

import shutil
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


def test_there_is_one_for_each_kind_of_board() -> None:
    assert len(list(HERE.glob("*.toml"))) >= 3
