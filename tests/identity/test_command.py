"""An attribute that a command prints: no shell, no waiting for ever, no flood, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from device_sdk.errors import ConfigurationError
from device_sdk.identity import command_output
from device_sdk.identity.command import run_bounded
from device_sdk.identity.kept_command import KEEPER


def test_output_is_one_line() -> None:
    assert command_output(["printf", " SN 42 \n"]) == "SN 42"


def test_no_shell_is_involved(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    assert command_output(["echo", f"$HOME; touch {marker}"]) == f"$HOME; touch {marker}"
    assert not marker.exists()


def test_standard_input_is_empty() -> None:
    """The command cannot take what is meant for the program that asks."""
    program = "from device_sdk.identity import command_output; print(command_output(['wc', '-c']))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, input="hello", capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0\n"


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        ([], "empty"),
        ([""], "empty"),
        (["/nonexistent/serial-tool"], "cannot start /nonexistent/serial-tool"),
        (["a\0b"], "cannot start"),
        (["false"], "false failed with exit status 1"),
        (["sh", "-c", "kill -9 $$"], "exit status -9"),
        (["true"], "the output of true is empty"),
        (["printf", "a\\nb\\n"], "more than one line"),
        (["printf", "\\377"], "does not hold text"),
    ],
)
def test_commands_that_give_nothing(argv: list[str], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        command_output(argv)


def test_a_flood_is_cut_off() -> None:
    started = time.monotonic()
    with pytest.raises(ConfigurationError, match="printed more than 4096 bytes"):
        command_output(["yes"], timeout_s=100)
    assert time.monotonic() - started < 50


@pytest.mark.slow
@pytest.mark.parametrize("script", ["sleep 60", "sleep 60 & echo x", "exec >&-; sleep 60", "echo x; exec sleep 60"])
def test_a_slow_command_is_stopped_with_all_it_started(script: str, tmp_path: Path) -> None:
    """The time limit holds when a child keeps the pipe open, and when the pipe is closed early."""
    started = time.monotonic()
    with pytest.raises(ConfigurationError, match=r"longer than 0\.3 s and was stopped"):
        command_output(["sh", "-c", f"cd {tmp_path}; {script}"], timeout_s=0.3)
    assert time.monotonic() - started < 50
    _require_nothing_in(tmp_path)


def _require_nothing_in(directory: Path) -> None:
    for _ in range(200):
        left = [path for path in Path("/proc").glob("[0-9]*/cwd") if _target(path) == str(directory)]
        if not left:
            return
        time.sleep(0.05)
    pytest.fail(f"still running: {left}")


_AWAY = "setsid sh -c 'setsid -f sleep 600; exec sleep 600' >/dev/null 2>&1 <&1 &"
"""Two that leave their process group and session, one of them without a parent."""


@pytest.mark.slow
def test_a_command_does_not_outlive_a_killed_process_that_waits_for_it(tmp_path: Path) -> None:
    """Neither it nor what it started, in other sessions as well: else the next process would begin a second one beside it."""
    script = f"cd {tmp_path}; {_AWAY} sleep 600 & touch begun; wait"
    program = (
        "import sys; from device_sdk.identity.command import run_bounded;"
        "run_bounded(sys.argv[1:], timeout_s=600, keep_bytes=10)"
    )
    with subprocess.Popen([sys.executable, "-c", program, "sh", "-c", script]) as process:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    _require_nothing_in(tmp_path)


def test_what_a_command_leaves_in_the_background_on_purpose_stays(tmp_path: Path) -> None:
    script = f"cd {tmp_path}; setsid sleep 600 >/dev/null 2>&1 & sleep 600 >/dev/null 2>&1 & echo $!; exit 3"
    status, output = run_bounded(["sh", "-c", script], timeout_s=60, keep_bytes=100)
    assert status == 3
    try:
        assert _target(Path(f"/proc/{int(output)}/cwd")) == str(tmp_path)
    finally:
        for path in Path("/proc").glob("[0-9]*/cwd"):
            if _target(path) == str(tmp_path):
                os.kill(int(path.parent.name), signal.SIGKILL)


def _keeper(writer: int, script: str, *before: str, stdin: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """The watcher by itself."""
    command = [sys.executable, "-I", "-S", *before, str(KEEPER), str(writer), "", "sh", "-c", script]
    return subprocess.Popen(command, stdin=stdin, pass_fds=(writer,))


def test_a_process_that_was_killed_before_its_command_began(tmp_path: Path) -> None:
    """There is no moment in which a command runs and nobody watches: the watcher is there first."""
    reader, writer = os.pipe()
    with _keeper(writer, f"cd {tmp_path}; {_AWAY} sleep 600", stdin=subprocess.DEVNULL) as process:
        os.close(writer)
        assert process.wait(100) == 0
    os.close(reader)
    _require_nothing_in(tmp_path)


def test_a_watcher_that_can_tell_nobody_how_its_command_ended(tmp_path: Path) -> None:
    """Its command ends right after whoever waits for it, and leaves something."""
    reader, writer = os.pipe()
    os.close(reader)
    with _keeper(writer, f"cd {tmp_path}; {_AWAY} touch begun") as process:
        os.close(writer)
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        time.sleep(0.1)
    assert process.returncode == 0
    _require_nothing_in(tmp_path)


_POOR = (
    "import runpy, sys; sys.modules['ctypes'] = None; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def test_where_python_cannot_ask_linux(tmp_path: Path) -> None:
    """Without ctypes, what is in the command's group is ended all the same, and its exit status is known."""
    reader, writer = os.pipe()
    with _keeper(writer, f"cd {tmp_path}; sleep 600 & kill -9 $$", "-c", _POOR), os.fdopen(reader, "rb") as status:
        os.close(writer)
        assert status.readline() == b"-9\n"
    _require_nothing_in(tmp_path)


def test_a_command_ends_with_its_watcher(tmp_path: Path) -> None:
    assert run_bounded(["sh", "-c", f"cd {tmp_path}; kill -9 $PPID; exec sleep 600"], timeout_s=60, keep_bytes=9) == (
        -9,
        b"",
    )
    _require_nothing_in(tmp_path)


def test_a_command_gets_what_it_was_given_and_no_more() -> None:
    """No variable that Python sets, no signal that Python ignores, no file descriptor."""
    given = {"PATH": os.environ["PATH"], "X": "\udcff"}
    assert run_bounded(["env", "-0"], timeout_s=60, keep_bytes=999, environment=given)[1].split(b"\0")[:-1] == [
        os.fsencode(f"{name}={value}") for name, value in given.items()
    ]
    ignored = subprocess.run(
        ["grep", "SigIgn", "/proc/self/status"], capture_output=True, check=True, timeout=60
    ).stdout
    assert run_bounded(["grep", "SigIgn", "/proc/self/status"], timeout_s=60, keep_bytes=99)[1] == ignored
    assert run_bounded(["ls", "/proc/self/fd"], timeout_s=60, keep_bytes=99)[1].split() == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize(
    "script", ["sleep 600", "exec >&- 2>&-; sleep 600", f"{_AWAY} wait", f"{_AWAY} exec >&- 2>&-; wait"]
)
def test_a_command_is_cancelled_with_all_it_started(script: str, tmp_path: Path) -> None:
    cancelled = threading.Event()
    timer = threading.Timer(0.3, cancelled.set)
    timer.start()
    with pytest.raises(InterruptedError):
        run_bounded(["sh", "-c", f"cd {tmp_path}; {script}"], timeout_s=600, keep_bytes=100, cancelled=cancelled)
    timer.join()
    _require_nothing_in(tmp_path)


def _target(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None
