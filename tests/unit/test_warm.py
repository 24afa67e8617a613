"""Programs that tests fork are processes like those they start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.warm.running import Running

TOLD = """
import atexit, os, sys
atexit.register(lambda: os.write(2, b"at exit"))
print(sys.argv[1:], os.getcwd(), os.environ["SAID"], os.environ.get("HOME"), __name__, sys.stdin.read(), flush=True)
print("to stderr", file=sys.stderr)
print(sorted(one for one in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + one)), end=" ")
"""


def both(program: Path, *words: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """What a forked one does, which is what one does that was started."""
    given: dict[str, Any] = {"timeout": 60} | options
    forked = warm.run([program, *words], **given)
    given |= {"stdin": subprocess.DEVNULL} if "input" not in options else {}
    started = subprocess.run([sys.executable, program, *map(str, words)], capture_output=True, check=False, **given)
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)
    return forked


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "program.py"


@pytest.mark.slow
def test_words_place_environment_and_streams(program: Path, tmp_path: Path) -> None:
    program.write_text(TOLD)
    environment = {name: value for name, value in os.environ.items() if name != "HOME"} | {"SAID": "ü"}
    read, write = os.pipe()
    for given in (b"", b"to stdin", b"x" * 300_000):
        done = both(program, "a", 7, env=environment, cwd=tmp_path, input=given, pass_fds=(read, write))
        assert done.stdout.startswith(f"['a', '7'] {tmp_path} ü None __main__ {given.decode()}\n".encode())
        assert done.stderr == b"to stderr\nat exit"
        assert str(write).encode() in done.stdout
    os.close(read)
    os.close(write)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("", 0),
        ("import sys; sys.exit(3)", 3),
        ("import sys; sys.exit('why')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(5)", 5),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import sys, threading, time; threading.Thread(target=lambda: (time.sleep(0.2), print('later'))).start()", 0),
    ],
)
def test_ends(program: Path, code: str, ended: int) -> None:
    program.write_text(code)
    done = warm.run([program], timeout=60)
    started = subprocess.run([sys.executable, program], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (started.returncode, started.stdout)
    assert done.returncode == ended
    assert done.stderr.splitlines()[-1:] == started.stderr.splitlines()[-1:]


@pytest.mark.slow
def test_one_that_does_not_end_is_killed(program: Path, tmp_path: Path) -> None:
    program.write_text(
        f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    )
    with pytest.raises(TimeoutError):
        warm.run([program], timeout=5)
    place = Path("/proc") / (tmp_path / "pid").read_text()
    for _ in range(600):
        if not place.exists():
            return
        time.sleep(0.1)
    pytest.fail("it is still there")


@pytest.mark.slow
def test_one_that_runs_beside_the_test(program: Path) -> None:
    """It is killed at the end of the block; what it said before can be read."""
    program.write_text("import os, sys, time; print(os.getpid(), *sys.argv[1:], flush=True); time.sleep(600)")
    with Running([program, 7]) as running:
        pid, word = running.stdout.readline().split()
        assert word == "7"
        assert running.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(0.01)
    assert running.wait() == running.poll() == -signal.SIGKILL
    assert not Path("/proc", pid).exists()


@pytest.mark.slow
def test_one_that_ends_while_the_test_waits(program: Path) -> None:
    program.write_text("import sys; sys.stderr.write('why'); sys.exit(3)")
    with Running([program]) as running:
        assert running.wait() == 3
        running.send_signal(signal.SIGTERM)
        assert (running.stdout.read(), running.stderr.read()) == ("", "why")
