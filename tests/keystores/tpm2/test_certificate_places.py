"""The certificate of a key under a handle is a file: where there is no place for it, nobody is asked for one. Real file systems."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from device_sdk.errors import KeyStoreError
from device_sdk.keystores import registry
from tests.keystores.foreign_keys import secret
from tests.keystores.tpm2.test_lifecycle import certificate
from tests.mounts import UNSHARE

HANDLE = "tpm2:handle=0x81000010"

# argv: what is printed is the error, and what was made meanwhile
SCRIPT = """
import os, sys
from pathlib import Path
from device_sdk.errors import KeyStoreError
from device_sdk.keystores import registry
place = Path(sys.argv[1])
registry.open_store("tpm2:handle=0x81000010")  # what it imports, another user may not be able to read
if sys.argv[2] == "user":
    os.setgid(65534), os.setuid(65534)
os.environ["DEVICE_SDK_CERTIFICATES"] = str(place / sys.argv[3])
for _ in range(2):
    try:
        registry.require_certificate_place("tpm2:handle=0x81000010")
    except KeyStoreError as error:
        print(error.message, "|", error.hint)
    else:
        print("there is a place")
    os.environ["DEVICE_SDK_CERTIFICATES"] = str(place)
print(sorted(one.name for one in place.iterdir()))
"""


@pytest.fixture
def no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that cannot be made: something on the way is a file."""
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("DEVICE_SDK_CERTIFICATES", str(tmp_path / "file/below/certificates"))
    return tmp_path / "file/below/certificates"


@pytest.mark.parametrize("kind", ["make", "import"])
def test_a_key_needs_no_such_place_but_its_certificate_does(kind: str, no_place: Path) -> None:
    """Keys of CALE have no certificate. What, where and what to do are said before anybody issues one, and of one that is there."""
    made = {
        "make": lambda: registry.create_key(HANDLE, "ec-p256"),
        "import": lambda: registry.import_key(HANDLE, secret("ec-p256")),
    }[kind]
    with made() as key:
        issued = certificate(key)
    for refused in (
        lambda: registry.require_certificate_place(HANDLE),
        lambda: registry.store_certificate(HANDLE, issued),
    ):
        with pytest.raises(KeyStoreError, match=f"{no_place} cannot be made: Not a directory") as caught:
            refused()
        assert str(caught.value).startswith("tpm2:handle=0x81000010")
        assert caught.value.hint is not None
        assert "certificates_dir" in caught.value.hint
        assert "DEVICE_SDK_CERTIFICATES" in caught.value.hint


def test_a_key_that_is_there_is_used_without_such_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens, and is found by reuse; only its certificate has to wait."""
    with registry.create_key(HANDLE, "ec-p256") as made:
        issued = certificate(made)
    (tmp_path / "file").touch()
    monkeypatch.setenv("DEVICE_SDK_CERTIFICATES", str(tmp_path / "file/certificates"))
    with registry.create_key(HANDLE, "ec-p256", reuse=True) as key:
        assert key.info.spki_sha256 == made.info.spki_sha256
    with pytest.raises(KeyStoreError, match="no place for its certificate") as caught:
        registry.store_certificate(HANDLE, issued)
    assert "certificates_dir" in str(caught.value.hint)
    monkeypatch.setenv("DEVICE_SDK_CERTIFICATES", str(tmp_path / "elsewhere/certificates"))
    registry.store_certificate(HANDLE, issued)
    assert registry.load_certificate(HANDLE) == issued


def test_nothing_is_made_before_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look leaves no directory behind, nor does a key: its certificate does."""
    monkeypatch.setenv("DEVICE_SDK_CERTIFICATES", str(tmp_path / "new/certificates"))
    registry.require_certificate_place(HANDLE)
    registry.create_key(HANDLE, "ec-p256").close()
    assert not (tmp_path / "new").exists()


def test_a_read_only_file_system() -> None:
    """A tmpfs that is remounted, and a directory in it that is there already."""
    with tempfile.TemporaryDirectory() as place:
        setup = f'mount -t tmpfs none {place}; mkdir {place}/there; mount -o remount,ro {place}; exec "$0" "$@"'
        words = [*UNSHARE, "sh", "-ec", setup, sys.executable, "-c", SCRIPT, place, "root", "new/certificates"]
        new, there, left = _said(words)
    assert f"{place}/new/certificates cannot be made: Read-only file system | " in new
    assert f"{place} cannot be written to: Read-only file system | " in there
    assert "certificates_dir" in new
    assert left == "['there']"


def test_nothing_is_removed_where_nothing_is() -> None:
    """A read-only file system refuses before it says that there is no such file; a key that goes has no certificate there."""
    script = (
        "import sys; from pathlib import Path; from device_sdk.keystores.atomic import remove_file; "
        "print(remove_file(Path(sys.argv[1], 'x.crt')))"
    )
    with tempfile.TemporaryDirectory() as place:
        setup = f'mount -t tmpfs none {place}; mount -o remount,ro {place}; exec "$0" "$@"'
        assert _said([*UNSHARE, "sh", "-ec", setup, sys.executable, "-c", script, place]) == ["False"]


def test_a_read_only_bind_mount() -> None:
    with tempfile.TemporaryDirectory() as place:
        setup = f'mount --bind {place} {place}; mount -o remount,bind,ro {place}; exec "$0" "$@"'
        words = [*UNSHARE, "sh", "-ec", setup, sys.executable, "-c", SCRIPT, place, "root", "certificates"]
        new, there, _ = _said(words)
    assert f"{place}/certificates cannot be made: Read-only file system" in new
    assert f"{place} cannot be written to: Read-only file system" in there


def test_a_missing_permission() -> None:
    """Another user's directory can be entered and read, and nothing be made in it."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o555 if _is_user() else 0o755)
        new, there, left = _said([sys.executable, "-c", SCRIPT, place, "no" if _is_user() else "user", "certificates"])
        Path(place).chmod(0o700)
    assert f"{place}/certificates cannot be made: Permission denied | " in new
    assert f"{place} cannot be written to: Permission denied | " in there
    assert left == "[]"


def test_something_else_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").touch(0o755)
    for name, reason in (
        ("link", "No such file or directory"),
        ("link/certificates", "No such file or directory"),
        ("file", "Not a directory"),
        ("file/certificates", "Not a directory"),
        ("x" * 300, "File name too long"),
        (f"{'x' * 300}/certificates", "File name too long"),
    ):
        monkeypatch.setenv("DEVICE_SDK_CERTIFICATES", str(tmp_path / name))
        with pytest.raises(KeyStoreError, match=f"no place for its certificate: .*: {reason}"):
            registry.require_certificate_place(HANDLE)
    (tmp_path / "nowhere").mkdir()
    monkeypatch.setenv("DEVICE_SDK_CERTIFICATES", str(tmp_path / "link"))
    registry.require_certificate_place(HANDLE)


def _is_user() -> bool:
    return os.geteuid() != 0


def _said(words: list[str]) -> list[str]:
    done = subprocess.run(words, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
