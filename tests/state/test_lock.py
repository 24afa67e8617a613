"""One process at a time; the kernel frees the lock of the dead."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from device_sdk.errors import StateBusyError
from device_sdk.state import StateDirectory

HOLDER = """
import sys, time
from device_sdk.state import StateDirectory
with StateDirectory(sys.argv[1]).exclusive():
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@contextmanager
def holder(directory: StateDirectory, seconds: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(directory.path), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_busy_names_the_holders_process_id(directory: StateDirectory) -> None:
    with holder(directory, 30) as process:
        with pytest.raises(StateBusyError, match=f"process {process.pid} "), directory.exclusive():
            pass
        process.kill()
        process.wait()
        with directory.exclusive():
            assert (directory.path / "lock").read_text() == f"{os.getpid()}\n"


def test_waiting_gets_the_lock_when_it_comes_free(directory: StateDirectory) -> None:
    with holder(directory, 0.5):
        start = time.monotonic()
        with directory.exclusive(wait_s=20):
            assert time.monotonic() - start > 0.2


def test_waiting_ends(directory: StateDirectory) -> None:
    with holder(directory, 30):
        start = time.monotonic()
        with pytest.raises(StateBusyError), directory.exclusive(wait_s=0.3):
            pass
        assert 0.2 < time.monotonic() - start < 10


def test_the_holder_may_enter_again_and_frees_it_once(directory: StateDirectory) -> None:
    with directory.exclusive():
        with directory.exclusive():
            pass
        with pytest.raises(StateBusyError), StateDirectory(directory.path).exclusive():
            pass
    with StateDirectory(directory.path).exclusive():
        pass


def test_another_thread_of_the_same_object_does_not_slip_in(directory: StateDirectory) -> None:
    seen: list[BaseException] = []

    def enter() -> None:
        try:
            with directory.exclusive():
                pass
        except StateBusyError as error:
            seen.append(error)

    with directory.exclusive():
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(10)
    assert len(seen) == 1


def test_writers_side_by_side_lose_nothing(directory: StateDirectory) -> None:
    """Twenty writers, each its own file description, all get their registration in."""
    script = """
import sys
from datetime import UTC, datetime
from device_sdk.state import CaleRegistration, StateDirectory
directory = StateDirectory(sys.argv[1])
for number in range(10):
    with directory.exclusive(wait_s=30):
        known = len(directory.cale_registrations())
        directory.save_cale_registration(f"r{known}", CaleRegistration("0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f", "file:/k", "https://o", datetime.now(UTC)))
"""
    command = [sys.executable, "-c", script, str(directory.path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(directory.cale_registrations()) == 30
    assert directory.check() == ()
