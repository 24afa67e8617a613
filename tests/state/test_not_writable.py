"""Disk full, read-only, no permission: a clear error, and what was there is still there. Real file systems."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from device_sdk.state import StateDirectory
from tests.mounts import UNSHARE

# Runs in a private mount namespace: argv = directory, what to do to its file system, what to write.
SCRIPT = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from device_sdk.errors import StateNotWritableError
from device_sdk.state import CaleRegistration, StateDirectory
directory = StateDirectory(sys.argv[1])
before, files = directory.load(), sorted(p.name for p in directory.path.rglob("*"))
if sys.argv[2] == "full":
    with (directory.path.parent / "ballast").open("wb", buffering=0) as ballast:
        try:
            while ballast.write(b"x" * 512):
                pass
        except OSError as error:
            assert error.errno == 28, error
elif sys.argv[2] == "limit":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (256, 256))
elif sys.argv[2] == "user":
    os.setgid(65534), os.setuid(65534)
registration = CaleRegistration("g" * 6000, "file:/k", "https://o", datetime.now(UTC))
try:
    directory.save_cale_registration("big", registration)
except StateNotWritableError as error:
    print(error.message, "|", error.hint, "|", error.path)
else:
    sys.exit("was written")
if sys.argv[2] != "user":
    assert directory.load() == before
    assert directory.cale_registration("big") is None
    after = sorted(p.name for p in directory.path.rglob("*"))
    assert set(after) - set(files) <= {"cale"}, after
"""


def inside(setup: str, directory: StateDirectory, how: str) -> str:
    """Run SCRIPT on a copy of the directory in a tmpfs of its own."""
    mount = directory.path.parent / "mount"
    mount.mkdir()
    command = f'{setup}; exec "$0" -c "$1" "$2/state" {how}'
    run = [*UNSHARE, "sh", "-ec", command, sys.executable, SCRIPT, str(mount)]
    done = subprocess.run(run, capture_output=True, check=False, text=True, timeout=60, cwd=directory.path.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_disk_full(enrolled: StateDirectory) -> None:
    words = inside('mount -t tmpfs -o size=64k none "$2"; cp -a state "$2"', enrolled, "full")
    assert "No space left on device" in words
    assert "this file is as it was before" in words
    assert "free some space" in words
    assert "df -i" in words


def test_file_size_limit_mid_write(enrolled: StateDirectory) -> None:
    """The write starts and cannot end: the temporary file goes, the old content stays."""
    words = inside('mount -t tmpfs none "$2"; cp -a state "$2"', enrolled, "limit")
    assert "File too large" in words
    assert "ulimit -f" in words


def test_read_only_file_system(enrolled: StateDirectory) -> None:
    setup = 'mount -t tmpfs none "$2"; cp -a state "$2"; mount -o remount,ro "$2"'
    words = inside(setup, enrolled, "ro")
    assert "Read-only file system" in words
    assert "mount the filesystem read-write" in words


def test_no_permission(enrolled: StateDirectory) -> None:
    copy = Path(tempfile.mkdtemp())  # not below tmp_path, which another user cannot enter
    shutil.copytree(enrolled.path, copy / "state", symlinks=True)
    try:
        command = [sys.executable, "-c", SCRIPT, str(copy / "state"), "user" if os.getuid() == 0 else "no"]
        if os.getuid() != 0:
            (copy / "state").chmod(0o500)
        else:
            (copy / "state").chmod(0o755)
            copy.chmod(0o755)
        done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "Permission denied" in done.stdout
        assert "run as the owner" in done.stdout
    finally:
        (copy / "state").chmod(0o700)
        shutil.rmtree(copy)


def test_reading_needs_no_write_access(enrolled: StateDirectory) -> None:
    enrolled.path.chmod(0o500)
    try:
        assert enrolled.snapshot()[1]
    finally:
        enrolled.path.chmod(0o700)


@pytest.mark.parametrize("kind", ["file", "below-a-file"])
def test_something_else_in_its_place(tmp_path: Path, kind: str) -> None:
    from device_sdk.errors import StateError

    path = tmp_path / "state"
    path.write_text("not a directory")
    directory = StateDirectory(path if kind == "file" else path / "deeper")
    with pytest.raises(StateError, match=str(path)), directory.exclusive():
        pass
