"""Who can write to the state directory decides whom the device trusts: nobody but its owner and root may."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from device_sdk.client.device import Device
from device_sdk.errors import StateError
from device_sdk.state import CaleRegistration, StateDirectory

NOBODY = 65534
FOLDERS = ("", "certificates", "trust", "cale")

# argv: the directory. Says of each way in whether it was refused.
SCRIPT = """
import os, sys
from device_sdk.errors import StateError
from device_sdk.state import StateDirectory
directory = StateDirectory(sys.argv[1])
def lock():
    with directory.exclusive():
        pass
for name, call in dict(lock=lock, snapshot=directory.snapshot, cale=lambda: directory.cale_registration("one")).items():
    try:
        call()
    except StateError as error:
        print(name, "refused:", error.message, "|", error.hint)
    else:
        print(name, "believed")
"""


@pytest.fixture
def full(enrolled: StateDirectory) -> StateDirectory:
    enrolled.save_cale_registration(
        "one", CaleRegistration("0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f", "file:/k", "https://o", datetime.now(UTC))
    )
    return enrolled


def ways_in(directory: StateDirectory) -> dict[str, Callable[[], object]]:
    def lock() -> None:
        with directory.exclusive():
            pass

    return {
        "lock": lock,
        "load": directory.load,
        "journal": directory.journal,
        "snapshot": directory.snapshot,
        "cale": lambda: directory.cale_registration("one"),
        "all cale": directory.cale_registrations,
        "status": Device(directory.path).status,
    }


TOUCHED_BY = {
    "": {"lock", "load", "journal", "snapshot", "cale", "all cale", "status"},
    "certificates": {"lock", "snapshot", "status"},
    "trust": {"lock", "snapshot", "status"},
    "cale": {"lock", "cale", "all cale"},
}


def refused_by(directory: StateDirectory, match: str) -> set[str]:
    refused = set()
    for name, call in ways_in(directory).items():
        try:
            call()
        except StateError as error:
            refused |= {name} if match in str(error) else set()
    return refused


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize(
    ("mode", "who"), [(0o770, "group"), (0o720, "group"), (0o702, "everybody"), (0o777, "everybody")]
)
def test_a_directory_others_may_write_to_is_refused(full: StateDirectory, folder: str, mode: int, who: str) -> None:
    path = full.path / folder
    assert refused_by(full, "") == set()
    path.chmod(mode)
    assert refused_by(full, f"{who}") == TOUCHED_BY[folder]
    with pytest.raises(StateError, match=r"may write to this directory.*chmod go-w"):
        ways_in(full)["lock"]()
    path.chmod(0o755)
    assert refused_by(full, "") == set()


def in_private_users(directory: StateDirectory, setup: str) -> str:
    """Run SCRIPT as root of a user namespace, after `setup` with the directory as $2."""
    command = f'{setup}; exec "$0" -c "$1" "$2"'
    run = ["sh", "-ec", command, sys.executable, SCRIPT, str(directory.path)]
    if os.getuid() != 0:
        run = ["unshare", "--user", "--map-auto", "--map-root-user", *run]
    done = subprocess.run(run, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS)
def test_a_directory_of_somebody_elses_is_refused(full: StateDirectory, folder: str) -> None:
    words = in_private_users(full, f'chown {NOBODY if os.getuid() == 0 else 1} "$2"/{folder}')
    refused = {line.split()[0] for line in words.splitlines() if " refused: " in line}
    assert refused == TOUCHED_BY[folder] & {"lock", "snapshot", "cale"}
    assert "belongs to another user" in words
    assert "chown" in words


def test_a_process_reads_what_root_or_itself_owns(full: StateDirectory) -> None:
    assert " refused: " not in in_private_users(full, ":")


@pytest.mark.parametrize("path", ["bad\0path", "x" * 300, "\udcff\ud800"])
def test_what_cannot_be_a_path_is_an_error_of_ours(tmp_path: Path, path: str) -> None:
    directory = StateDirectory(tmp_path / path)
    for name, call in ways_in(directory).items():
        if name != "all cale":
            with pytest.raises(StateError):
                call()


@pytest.mark.slow
def test_a_link_of_somebody_elses_is_not_followed(full: StateDirectory, tmp_path: Path) -> None:
    """Also where the kernel's protected_symlinks is off; a link of one's own is fine."""
    link = tmp_path / "link"
    link.symlink_to(full.path)
    assert "refused" not in in_private_users(StateDirectory(link), "true")
    words = in_private_users(StateDirectory(link), f'chown -h {NOBODY if os.getuid() == 0 else 1} "$2"')
    assert words.count("symbolic link of another user") == 3


@pytest.mark.parametrize("name", ["state.json", "tamp.json"])
def test_a_file_that_others_may_write_to_is_not_believed(full: StateDirectory, name: str) -> None:
    """A careless restore: the directory is fine, and the file is not."""
    from device_sdk.state.files import read

    path = full.path / name
    if not path.exists():
        path.write_bytes(b"{}")
    for mode, who in ((0o620, "group"), (0o602, "everybody")):
        path.chmod(mode)
        with pytest.raises(StateError, match=f"{who}.* may write to this file"):
            read(path)
    path.chmod(0o600)
    if os.getuid() == 0:
        os.chown(path, NOBODY, -1)
        with pytest.raises(StateError, match="belongs to another user"):
            read(path)
        os.chown(path, 0, -1)
    assert read(path)


def test_nothing_waits_for_a_fifo(full: StateDirectory) -> None:
    from device_sdk.errors import StateCorruptError

    path = full.path / "state.json"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StateCorruptError, match="no regular file"):
        full.load()
