"""The directory of an image is this process's own, whatever happened to the name between making and locking it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from device_sdk.client.firmware import installers


@pytest.mark.parametrize("taken", [False, True])
def test_a_directory_that_was_swept_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool) -> None:
    """Somebody removes it before it is locked, and makes one of the same name, with rights for everybody."""
    lock, swept = fcntl.flock, []

    def flock(descriptor: int, operation: int) -> None:
        if not swept:
            (path,) = tmp_path.iterdir()
            swept.append(path)
            path.rmdir()
            if taken:
                path.mkdir()
                path.chmod(0o777)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    holder = installers._Holder(tmp_path)
    assert holder.path not in swept
    assert os.path.samestat(holder.path.stat(), os.fstat(holder._descriptor))
    assert holder.path.stat().st_mode & 0o777 == 0o700
    holder.close()
    assert not holder.path.exists()
