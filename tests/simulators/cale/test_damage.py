"""Damaged files of a role end its start with words on what to do, never with a traceback and never as if nothing was."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from device_sdk_simulators.ca.hierarchy import make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.cale.certificates import Owner, make_certificate
from device_sdk_simulators.cale.replay import ReplayWindow
from device_sdk_simulators.cale.roles import EdgeSettings, RolePlace, edge_role
from device_sdk_simulators.database import UnusableDatabaseError
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.softhsm import SimulatorError

NOW = datetime.now(UTC)


def certificates(count: int) -> list:
    authority = make_authority("CALE Authorization Server", new_key("ec-p256"), NOW)
    key = new_key("ec-p256").public_key()
    return [make_certificate(authority, Owner("ann"), key, NOW, NOW + timedelta(seconds=10)) for _ in range(count)]


def filled(path: Path) -> Path:
    """A memory of several pages."""
    window = ReplayWindow(path)
    for one in certificates(3):
        for purpose in range(120):
            assert window.is_first(one, f"GET /{purpose}", NOW, NOW + timedelta(seconds=10))
    window.close()
    assert path.stat().st_size > 3 * 4096
    return path


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


DAMAGES = {
    "no database": lambda path: path.write_bytes(b"not a database at all, but a text\n" * 200),
    "header": lambda path: overwrite(path, 0, bytes(100)),
    "schema": lambda path: overwrite(path, 100, b"\xff" * 3000),
    "second page": lambda path: overwrite(path, 4096, b"\xa5" * 4096),
    "last page": lambda path: overwrite(path, path.stat().st_size - 4096, b"\xa5" * 4096),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:5000]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_replay_memory_is_refused_with_words_cale_55(tmp_path, damage):
    """Starting anew at once would let everything pass a second time that was shown a moment ago."""
    path = filled(tmp_path / "replay.sqlite")
    DAMAGES[damage](path)
    with pytest.raises(UnusableDatabaseError, match="remove the file") as refused:
        ReplayWindow(path)
    assert str(path) in str(refused.value)
    # what the words say
    for name in ("replay.sqlite", "replay.sqlite-wal", "replay.sqlite-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    with closing(ReplayWindow(path)) as anew:
        assert anew.is_first(certificates(1)[0], "", NOW, NOW)


def test_a_memory_that_breaks_while_it_runs_lets_nothing_pass_cale_55(tmp_path):
    path = filled(tmp_path / "replay.sqlite")
    with closing(ReplayWindow(path)) as window:
        window._connection.execute("DROP TABLE seen")
        with pytest.raises(Exception, match="no such table"):
            window.is_first(certificates(1)[0], "", NOW, NOW)
        assert not window._connection.in_transaction


@pytest.mark.slow
@pytest.mark.parametrize("file", ["replay.sqlite", "server.sqlite"])
def test_a_role_with_damaged_files_does_not_start_or_works(tmp_path, file):
    """Wherever the damage is: one kind of error, or a spot that nobody reads at the start."""
    settings, place = EdgeSettings(upstream="http://127.0.0.1:1", user="ann"), RolePlace(tmp_path / "edge")
    edge_role(place, Policy(), settings).stop()
    whole = (tmp_path / "edge" / file).read_bytes()
    refused = 0
    for page in range(len(whole) // 4096):
        (tmp_path / "edge" / file).write_bytes(whole)
        overwrite(tmp_path / "edge" / file, page * 4096, b"\xa5" * 4096)
        with suppress(SimulatorError):
            refused += 1
            edge_role(place, Policy(), settings).stop()
            refused -= 1
    assert refused > 0


@pytest.mark.slow
def test_by_command_line_it_is_one_line_and_exit_code_2(tmp_path):
    words = ["--state", str(tmp_path / "edge"), "--upstream", "http://127.0.0.1:1"]
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge" / "replay.sqlite").write_bytes(b"not a database at all, but a text\n" * 200)
    command = [sys.executable, "-m", "device_sdk_simulators.cli.main", "cale", "edge", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "remove the file" in done.stderr
    assert "Traceback" not in done.stderr
