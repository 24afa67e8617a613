"""The commands as programs: what they print, how they end, and that mistakes are one line and exit code 2."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SIM = [sys.executable, "-m", "device_sdk_simulators.cli.main"]


@pytest.mark.parametrize("simulator", ["softhsm", "swtpm"])
def test_paths_of_tokens_and_tpms_are_absolute(tmp_path, simulator):
    words = [*SIM, simulator, "--state", "here", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        facts = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    environment = facts["environment"]
    path = environment["SOFTHSM2_CONF"] if simulator == "softhsm" else facts["tcti"].partition("path=")[2]
    assert Path(path).is_absolute()
    if simulator == "softhsm":
        assert f"pin-source=file:{tmp_path}/" in facts["uri"]
        assert f"directories.tokendir = {tmp_path}/" in Path(path).read_text()


def fails(*words: object, **options: object) -> str:
    """Run a command that has to end with exit code 2 and one line; the line."""
    done = subprocess.run([*SIM, *map(str, words)], capture_output=True, text=True, timeout=30, check=False, **options)
    assert (done.returncode, done.stdout) == (2, ""), (done.returncode, done.stdout, done.stderr)
    assert done.stderr.startswith("device-sdk-sim"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr
