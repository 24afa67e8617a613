"""The order of system calls that a power cut cannot break: data, fsync, rename, fsync of the directory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from device_sdk.state import files

CALLS = {"write", "fsync", "replace", "unlink", "symlink", "mkdir"}


def system_calls(action: Callable[[], object]) -> list[str]:
    """Names of the calls that change or synchronise files, in order."""
    seen: list[str] = []

    def profile(_frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call" and getattr(arg, "__module__", "") == "posix" and arg.__name__ in CALLS:
            seen.append(arg.__name__)

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    return seen


def test_a_file_is_synced_before_it_gets_its_name_and_the_name_after(tmp_path: Path) -> None:
    assert system_calls(lambda: files.write(tmp_path / "a", b"x")) == ["write", "fsync", "replace", "fsync"]


def test_names_that_come_and_go_are_synced(tmp_path: Path) -> None:
    assert system_calls(lambda: files.link(tmp_path / "l", "a")) == ["symlink", "replace", "fsync"]
    assert system_calls(lambda: files.remove(tmp_path / "l")) == ["unlink", "fsync"]
    assert system_calls(lambda: files.make_directory(tmp_path / "d")) == ["mkdir", "mkdir", "fsync"]
    assert system_calls(lambda: files.link(tmp_path / "l", "a")) == ["symlink", "replace", "fsync"]
    assert system_calls(lambda: files.link(tmp_path / "l", "a")) == []


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_what_was_written_is_what_is_there(tmp_path: Path, size: int) -> None:
    files.write(tmp_path / "a", b"before")
    files.write(tmp_path / "a", b"y" * size)
    assert files.read(tmp_path / "a") == b"y" * size
    assert files.temporary_files(tmp_path) == ()
