"""Files are whole or not there: killed writers, full disks, file systems without unnamed files or hard links."""

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from device_sdk.errors import KeyExistsError, KeyNotFoundError, KeyStoreError, StoreCorruptError
from device_sdk.keystores import atomic


def refuse(number: int):
    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


def without_unnamed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS or an old overlay: O_TMPFILE is not known."""
    real = os.open

    def opened(path, flags: int, *rest, **named) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no")
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", opened)


@pytest.mark.parametrize("file_system", ["ext4", "nfs", "fat"])
def test_create_refuses_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_system: str) -> None:
    if file_system != "ext4":
        without_unnamed_files(monkeypatch)
    if file_system == "fat":
        monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    path = tmp_path / "file"
    atomic.create_file(path, b"one", atomic.PRIVATE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(KeyExistsError):
        atomic.create_file(path, b"two", atomic.PRIVATE)
    assert path.read_bytes() == b"one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["fsync", "link", "fchmod"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse(errno.ENOSPC))
        with pytest.raises(KeyStoreError, match="No space left"):
            atomic.create_file(tmp_path / "file", b"one", atomic.PRIVATE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "fchmod"])
def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "file"
    atomic.replace_file(path, b"old", atomic.PUBLIC)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse(errno.ENOSPC))
        with pytest.raises(KeyStoreError, match="No space left"):
            atomic.replace_file(path, b"new", atomic.PUBLIC)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


_REPLACE = """
import sys
from pathlib import Path
from device_sdk.keystores import atomic
def write(letter):
    atomic.replace_file(Path(sys.argv[1]), letter * 100_000, 0o644)
write(b"a")
print("written", flush=True)
while True:
    write(b"b")
    write(b"a")
"""


@pytest.mark.slow
def test_a_killed_writer(tmp_path: Path) -> None:
    """At any moment the file is one of the two, whole; leftovers go with the next write of the same file."""
    path = tmp_path / "file"
    left = 0
    for turn in range(15):
        writer = subprocess.Popen([sys.executable, "-c", _REPLACE, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"  # before, the file need not be there
        time.sleep(0.01 + turn * 0.0031)
        writer.send_signal(signal.SIGKILL)
        writer.communicate(timeout=60)
        data = path.read_bytes()
        assert data in (b"a" * 100_000, b"b" * 100_000)
        left += len(list(tmp_path.iterdir())) - 1
    atomic.replace_file(path, b"end", atomic.PUBLIC)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert left > 0, "no kill left a temporary file: this test shows nothing"


def test_a_live_writers_temporary_file_is_left_alone(tmp_path: Path) -> None:
    mine, other = tmp_path / f".file.{os.getpid()}.0123abcd.tmp", tmp_path / f".other.{2**22 + 1}.0123abcd.tmp"
    dead = tmp_path / f".file.{2**22 + 1}.0123abcd.tmp"
    for path in (mine, other, dead):
        path.touch()
    atomic.replace_file(tmp_path / "file", b"x", atomic.PUBLIC)
    assert (mine.exists(), other.exists(), dead.exists()) == (True, True, False)


def test_reading_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(KeyNotFoundError):
        atomic.read_file(path, 10)
    path.write_bytes(b"x" * 11)
    with pytest.raises(StoreCorruptError, match="larger"):
        atomic.read_file(path, 10)
    with pytest.raises(StoreCorruptError, match="not a file"):
        atomic.read_file(Path("/dev/zero"), 10)
    with pytest.raises(KeyNotFoundError):
        atomic.list_files(tmp_path / "none")
    for number in range(5):
        (tmp_path / str(number)).touch()
    with pytest.raises(KeyStoreError, match="more than 3"):
        atomic.list_files(tmp_path, limit=3)


def test_removing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert atomic.remove_file(path) is False
    path.touch()
    assert atomic.remove_file(path) is True
    path.mkdir()
    with pytest.raises(KeyStoreError):
        atomic.remove_file(path)
