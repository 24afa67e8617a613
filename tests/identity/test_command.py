"""An attribute that a command prints: no shell, no waiting for ever, no flood, nothing left behind."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from device_sdk.errors import ConfigurationError
from device_sdk.identity import command_output


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
    done = subprocess.run(command, input="hello", capture_output=True, text=True, timeout=20, check=True)
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
        command_output(["yes"])
    assert time.monotonic() - started < 5


@pytest.mark.slow
@pytest.mark.parametrize("script", ["sleep 60", "sleep 60 & echo x", "exec >&-; sleep 60", "echo x; exec sleep 60"])
def test_a_slow_command_is_stopped_with_all_it_started(script: str, tmp_path: Path) -> None:
    """The time limit holds when a child keeps the pipe open, and when the pipe is closed early."""
    started = time.monotonic()
    with pytest.raises(ConfigurationError, match=r"longer than 0\.3 s and was stopped"):
        command_output(["sh", "-c", f"cd {tmp_path}; {script}"], timeout_s=0.3)
    assert time.monotonic() - started < 5
    for _ in range(50):
        left = [path for path in Path("/proc").glob("[0-9]*/cwd") if _target(path) == str(tmp_path)]
        if not left:
            return
        time.sleep(0.05)
    pytest.fail(f"still running: {left}")


def _target(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None
