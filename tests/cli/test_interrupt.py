"""Ctrl-C at any moment: 130, one word, and the same command goes on later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from device_sdk_simulators.softhsm import SoftHsm

from tests.cli.conftest import COMMAND, Done, Lab

SILENCE_S = "25"  # less than the client's patience, more than anything here takes
WATCHED = """
import _thread, ctypes, os, signal, sys, time, weakref
from device_sdk.cli.interrupt import never_lose

class Thing:
    pass

class Doomed:
    def __del__(self):
        press()

def press(*_):
    os.kill(os.getpid(), signal.SIGINT)

def destructor():
    Doomed()

def weak_reference():
    thing = Thing()
    reference = weakref.ref(thing, press)
    del thing

def called_by_c():
    ctypes.CFUNCTYPE(None)(press)()

never_lose()
try:
    {how}()
    print("forgotten", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

AT_CALLBACK = """
import os, signal, sys
left = int(os.environ.get("CALLBACK", "0"))

def hook(frame, event, arg):
    global left
    if event == "call" and frame.f_code.co_name == "guarded":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGINT)

sys.setprofile(hook)
"""


def _start(words: list[str], lab: Lab, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *words, "--json"],
        env=os.environ | lab.cli.environment | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _end(process: subprocess.Popen[str]) -> Done:
    try:
        out, err = process.communicate(timeout=100)
    finally:
        process.kill()
    return Done(process.returncode, out, err)


def _is_interrupted(done: Done, lab: Lab) -> None:
    """At once: the server, which lets us wait, did not come to its answer."""
    assert ("simpleenroll", 200) not in lab.operations()
    assert (done.code, done.err) == (130, "device-sdk: interrupted\n")
    assert json.loads(done.out)["error"]["code"] == "interrupted"


def _goes_on(words: list[str], lab: Lab) -> None:
    made = (lab.keys / "device.pem").read_bytes()
    lab.server.faults.clear()
    lab.cli.ok(*words)
    assert (lab.keys / "device.pem").read_bytes() == made


@pytest.mark.slow
def test_interrupted(lab: Lab) -> None:
    lab.server.faults.set("delay", SILENCE_S, times=1, operation="simpleenroll")
    words = [str(word) for word in lab.enroll_words(f"file:{lab.keys}/device.pem")]
    process = _start(words, lab)
    while not (lab.keys / "device.pem").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _is_interrupted(_end(process), lab)
    _goes_on(words, lab)


@pytest.mark.slow
def test_interrupted_right_before_a_wait(lab: Lab, tmp_path: Path) -> None:
    """Python has looked for signals, and the system call does not know of any: the wait would last as long as the silence."""
    library, key = tmp_path / "poll.so", lab.keys / "device.pem"
    source = Path(__file__).with_name("interrupting_poll.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    lab.server.faults.set("delay", SILENCE_S, times=1, operation="simpleenroll")
    words = [str(word) for word in lab.enroll_words(f"file:{key}")]
    process = _start(words, lab, LD_PRELOAD=str(library), AFTER=str(key))
    _is_interrupted(_end(process), lab)
    _goes_on(words, lab)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["destructor", "weak_reference", "called_by_c"])
def test_interrupts_that_python_would_forget(how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.replace("{how}", how)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.splitlines()[-1] == "interrupted", done
    assert done.stderr == ""


@pytest.mark.slow
def test_interrupted_before_a_callback_of_openssl(lab: Lab, token: SoftHsm, tmp_path: Path) -> None:
    """The first steps of a callback in Python, where signals that came during a handshake arrive, and nothing can catch them."""
    lab.cli.ok(*lab.enroll_words(token.uri_of("key")))
    (tmp_path / "sitecustomize.py").write_text(AT_CALLBACK)
    words = ("renew", "--state", lab.state)
    codes = set()
    for number in range(1, 1000, 13):
        done = lab.cli(*words, env={"PYTHONPATH": str(tmp_path), "CALLBACK": str(number)})
        codes.add(done.code)
        if done.code == 0:
            break
        assert (done.code, done.err) == (130, "device-sdk: interrupted\n"), number
    assert codes == {0, 130}
    lab.cli.ok(*words)
    assert "FAIL" not in lab.cli.ok("doctor", "--state", lab.state, "--online").out


def test_interrupts_that_are_ignored_stay_so() -> None:
    """As nohup and shells in the background have it."""
    script = (
        "from device_sdk.cli.interrupt import *; never_lose(); os.kill(os.getpid(), signal.SIGINT); print('going on')"
    )
    done = subprocess.run(
        ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-c", script],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "going on\n", "")
