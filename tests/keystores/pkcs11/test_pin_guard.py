"""Markers of refused PINs: they outlive a restart, and tell nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from device_sdk.errors import PinRefusedError
from device_sdk.keystores.pin_guard import PinGuard
from device_sdk.model.secret import Secret

TOKEN = "pkcs11:maker:model:0001"


def refused(guard: PinGuard, pin: str, token: str = TOKEN) -> bool:
    try:
        guard.check(token, Secret(pin), "pkcs11:token=t")
    except PinRefusedError:
        return True
    return False


@pytest.mark.slow
def test_a_refused_pin_is_refused_again_and_another_is_not(tmp_path: Path) -> None:
    guard = PinGuard(tmp_path / "refused")
    assert not refused(guard, "1111")
    guard.refuse(TOKEN, Secret("1111"))
    assert refused(guard, "1111")
    assert not refused(guard, "2222")
    assert not refused(guard, "1111", token="pkcs11:maker:model:0002")
    guard.refuse(TOKEN, Secret("2222"))
    assert refused(guard, "1111")
    assert refused(guard, "2222")
    guard.clear(TOKEN)
    assert not refused(guard, "1111")
    assert not refused(guard, "2222")


def test_a_marker_outlives_the_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from device_sdk.keystores.pin_guard import PinGuard; "
        "from device_sdk.model.secret import Secret; PinGuard(Path(sys.argv[1])).refuse(sys.argv[2], Secret('1111'))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "refused"), TOKEN], check=True, timeout=60)
    assert refused(PinGuard(tmp_path / "refused"), "1111")


def test_a_marker_is_private_and_holds_salted_digests_only(tmp_path: Path) -> None:
    folder = tmp_path / "refused"
    PinGuard(folder).refuse(TOKEN, Secret("1111"))
    PinGuard(folder).refuse("other", Secret("1111"))
    markers = [json.loads(path.read_text()) for path in folder.iterdir()]
    assert len({marker["refused"][0] for marker in markers}) == 2
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert "0001" not in path.name
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_it_remembers_a_bounded_number(tmp_path: Path) -> None:
    guard = PinGuard(tmp_path / "refused")
    for pin in range(12):
        guard.refuse(TOKEN, Secret(str(pin)))
    assert [refused(guard, str(pin)) for pin in range(12)] == [False] * 4 + [True] * 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "noise", [b"", b"{", b"[]", b'{"salt": 1}', b'{"salt": "zz", "refused": []}', os.urandom(9000)]
)
def test_a_broken_marker_refuses_nothing_and_is_replaced(tmp_path: Path, noise: bytes) -> None:
    guard = PinGuard(tmp_path / "refused")
    guard.refuse(TOKEN, Secret("1"))
    guard.clear(TOKEN)
    guard.refuse(TOKEN, Secret("2"))
    (marker,) = (tmp_path / "refused").iterdir()
    guard.clear(TOKEN)
    marker.write_bytes(noise)
    assert not refused(guard, "1")
    guard.refuse(TOKEN, Secret("3"))
    assert refused(guard, "3")


def test_without_a_writable_disk_the_process_remembers(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    guard = PinGuard(tmp_path / "file" / "refused")
    guard.refuse(TOKEN, Secret("1111"))
    assert refused(PinGuard(tmp_path / "file" / "refused"), "1111")
    guard.clear(TOKEN)
    assert not refused(guard, "1111")


def test_removing_the_marker_by_hand_allows_another_try(tmp_path: Path) -> None:
    """What the hint of PinRefusedError says."""
    guard = PinGuard(tmp_path / "refused")
    guard.refuse(TOKEN, Secret("1111"))
    with pytest.raises(PinRefusedError) as caught:
        guard.check(TOKEN, Secret("1111"), "pkcs11:token=t")
    assert caught.value.hint is not None
    (marker,) = (tmp_path / "refused").iterdir()
    assert str(marker) in caught.value.hint
    marker.unlink()
    assert not refused(guard, "1111")


def test_where_the_markers_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICE_SDK_REFUSED_PINS", str(tmp_path / "here"))
    assert PinGuard().directory == tmp_path / "here"
    monkeypatch.delenv("DEVICE_SDK_REFUSED_PINS")
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert PinGuard().directory == tmp_path / "device-sdk" / "refused-pins"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert PinGuard().directory == tmp_path / "home/.local/state/device-sdk/refused-pins"
    monkeypatch.setattr(os, "access", lambda *_: True)
    assert PinGuard().directory == Path("/var/lib/device-sdk/refused-pins")
