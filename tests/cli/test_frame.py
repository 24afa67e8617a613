"""What every command shares: exit codes, one line for an error, data on stdout, quick start-up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CLI = [sys.executable, "-m", "device_sdk.cli.main"]


def _run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *words], env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_version_and_help() -> None:
    assert _run("--version").stdout.startswith("device-sdk ")
    shown = _run("--help")
    assert shown.returncode == 0
    assert "exit codes" in shown.stdout


@pytest.mark.parametrize(
    "command", ["keys", "csr", "est", "cale", "enroll", "renew", "sync", "needs-renewal", "show", "doctor"]
)
def test_every_command_has_help(command: str) -> None:
    assert _run(command, "--help").returncode == 0


def test_usage_errors_exit_2() -> None:
    assert _run().returncode == 2
    assert _run("no-such-command").returncode == 2
    assert _run("keys", "create", "file:/x").returncode == 2


def test_an_error_is_one_line_on_stderr_and_data_with_json() -> None:
    plain = _run("keys", "show", "nonsense")
    assert (plain.returncode, plain.stdout) == (2, "")
    assert plain.stderr.count("\n") == 1
    machine = _run("keys", "show", "nonsense", "--json")
    assert json.loads(machine.stdout)["error"]["code"] == "bad-uri"
    assert machine.returncode == 2


def test_json_and_config_may_stand_before_the_command(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('state_dir = "/somewhere"\n')
    done = _run("--json", "--config", str(tmp_path / "c.toml"), "config")
    assert json.loads(done.stdout)["state_dir"] == "/somewhere"


@pytest.mark.parametrize("words", [["import device_sdk"], ["import device_sdk.cli.main"]])
def test_importing_pulls_in_nothing_heavy(words: list[str]) -> None:
    probe = f"{words[0]}\nimport sys\nprint([m for m in ('cryptography', 'requests', 'ssl', 'asn1crypto', 'pkcs11', 'tpm2_pytss') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_closed_pipe_is_no_traceback() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m device_sdk.cli.main config | true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
