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
    print(time.monotonic(), flush=True)
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


@pytest.mark.slow
def test_waiting_gets_the_lock_when_it_comes_free(directory: StateDirectory) -> None:
    with holder(directory, 0.5) as process, directory.exclusive(wait_s=60):
        got = time.monotonic()
        assert process.stdout is not None
        assert float(process.stdout.readline()) <= got


@pytest.mark.slow
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
        thread.join(60)
    assert len(seen) == 1


@pytest.mark.slow
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


FORKING = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: "fork() may lead to deadlocks", which is what is tested
from device_sdk.errors import StateBusyError
from device_sdk.state import StateDirectory
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
directory, held, done = StateDirectory(sys.argv[1]), threading.Event(), threading.Event()

def change() -> None:
    with directory.exclusive():
        held.set()
        done.wait()

thread = threading.Thread(target=change, daemon=True)
thread.start()
held.wait()
pid = os.fork()
if not pid:
    signal.alarm(60)
"""


def forking(directory: StateDirectory, script: str) -> str:
    command = [sys.executable, "-c", FORKING + script, str(directory.path)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return result.stdout + result.stderr


@pytest.mark.slow
def test_a_child_forked_meanwhile_keeps_nothing_of_the_lock(directory: StateDirectory) -> None:
    """The parent is done; the child lives on and never knew of the lock."""
    said = forking(
        directory,
        """
    signal.pause()
done.set()
thread.join()
try:
    with StateDirectory(sys.argv[1]).exclusive():
        print("free")
finally:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
""",
    )
    assert said == "free\n"


@pytest.mark.slow
def test_nor_does_it_where_the_parent_dies(directory: StateDirectory) -> None:
    """Nobody is left to unlock it; the child closed its copy of the descriptor."""
    said = forking(
        directory,
        """
    parent = os.getppid()
    os.kill(parent, signal.SIGKILL)
    while os.getppid() == parent:
        time.sleep(0.01)
    # a thread of the parent may close its files a moment later; a copy in here would stay for good
    with StateDirectory(sys.argv[1]).exclusive(wait_s=10):
        print("free", flush=True)
    os._exit(0)
signal.pause()
""",
    )
    assert said == "free\n"


@pytest.mark.slow
def test_the_child_waits_for_the_parent_like_any_process_and_no_longer(directory: StateDirectory) -> None:
    """Its own object, whose thread lock somebody held who is not in the child."""
    said = forking(
        directory,
        """
    try:
        with directory.exclusive():
            print("not busy", flush=True)
    except StateBusyError as error:
        print(f"process {os.getppid()} " in str(error), flush=True)
    os.kill(os.getppid(), signal.SIGUSR1)
    with directory.exclusive(wait_s=30):
        print("mine", flush=True)
    os._exit(0)
signal.sigwait([signal.SIGUSR1])
done.set()
os.waitpid(pid, 0)
""",
    )
    assert said == "True\nmine\n"


@pytest.mark.slow
def test_a_child_forked_by_the_holder_itself_leaves_the_lock_to_it(directory: StateDirectory) -> None:
    said = forking(
        directory,
        """
    os._exit(0)
os.waitpid(pid, 0)
done.set()
thread.join()
with directory.exclusive():
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        try:
            with StateDirectory(sys.argv[1]).exclusive():
                print("not busy")
        except StateBusyError:
            print("still mine")
if not pid:
    os._exit(0)
with StateDirectory(sys.argv[1]).exclusive():
    print("free")
""",
    )
    assert said == "still mine\nfree\n"
