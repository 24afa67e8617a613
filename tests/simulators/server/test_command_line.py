"""The commands as programs: what they print, how they end, and that mistakes are one line and exit code 2."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SimulatorError

from tests.simulators.command import SIM, sim

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("simulator", ["softhsm", "swtpm"])
def test_paths_of_tokens_and_tpms_are_absolute(tmp_path, simulator):
    words = [*SIM, simulator, "--state", "here", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        facts = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    environment = facts["environment"]
    path = environment["SOFTHSM2_CONF"] if simulator == "softhsm" else facts["tcti"].partition("path=")[2]
    assert Path(path).is_absolute()
    if simulator == "softhsm":
        assert f"pin-source=file:{tmp_path}/" in facts["uri"]
        assert f"directories.tokendir = {tmp_path}/" in Path(path).read_text()


UNPRIVILEGED = (
    (
        str(shutil.which("setpriv")),
        "--bounding-set=-dac_override,-dac_read_search",
        "--inh-caps=-dac_override,-dac_read_search",
    )
    if os.geteuid() == 0
    else ()
)
"""Runs what follows under the rules for ordinary users, where the tests run as root."""


def fails(*words: object, code: int = 2, unprivileged: bool = False, **options: object) -> str:
    """Run a command that has to end with one line, and no more than that; the line."""
    if unprivileged:
        command = [*UNPRIVILEGED, *SIM, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    else:
        done = sim(*words, timeout=100, **options)
    assert (done.returncode, done.stdout) == (code, ""), (done.returncode, done.stdout, done.stderr)
    assert done.stderr.startswith("device-sdk-sim"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Errno" not in done.stderr
    assert "Error" not in done.stderr
    return done.stderr


def server_fails(state: Path, *words: object, unprivileged: bool = False) -> str:
    return fails("server", "--state", state, *words, unprivileged=unprivileged)


@pytest.fixture
def state(tmp_path) -> Path:
    return tmp_path / "s"


@pytest.mark.parametrize(
    "kind", ["missing", "unreadable", "empty", "newline", "directory", "binary", "huge", "endless"]
)
def test_password_files_that_hold_no_password(tmp_path, state, kind):
    path = tmp_path / "pw"
    content = {
        "empty": b"",
        "newline": b"\nsecond line\n",
        "binary": b"\xff\xfe",
        "huge": b"x" * 5000,
        "unreadable": b"x",
    }
    if kind in content:
        path.write_bytes(content[kind])
    if kind == "unreadable":
        path.chmod(0)
    elif kind == "directory":
        path.mkdir()
    elif kind == "endless":
        path = Path("/dev/zero")
    said = server_fails(state, "--user", "lab", "--password-file", path, unprivileged=kind == "unreadable")
    assert str(path) in said
    assert not (state / "password").exists()


def test_a_password_for_nobody(tmp_path, state):
    (tmp_path / "pw").write_text("x")
    assert "--user" in server_fails(state, "--password-file", tmp_path / "pw")


@pytest.mark.parametrize("user", ["a:b", "a\nb"])
def test_user_names_that_basic_cannot_carry(state, user):
    """RFC 7617 section 2: no colon and no control characters."""
    assert "--user" in server_fails(state, "--user", user)


def test_the_port_is_taken(state):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"127.0.0.1 port {port}: Address already in use" in server_fails(state, "--port", port)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("192.0.2.1", "Cannot assign requested address"),
        ("no.such.host.invalid", "no.such.host.invalid"),
        ("", "--host"),
    ],
)
def test_addresses_that_are_not_ours(state, host, words):
    assert words in server_fails(state, "--host", host)


@pytest.mark.parametrize("kind", ["no permission", "a file", "below a file", "taken apart", "bad key", "bad database"])
def test_state_directories_that_cannot_be_used(state, kind):
    if kind in ("a file", "below a file"):
        state.write_text("x")
        state = state / "s" if kind == "below a file" else state
    elif kind == "no permission":
        state.mkdir(mode=0o500)
    else:
        with ReferenceServer(state):
            pass
        spoilt = {"taken apart": "ca/issuing.pem", "bad key": "ca/root.key", "bad database": "server.sqlite"}[kind]
        if kind == "taken apart":
            (state / spoilt).unlink()
        else:
            (state / spoilt).write_bytes(b"this is nothing of the kind " * 100)
        assert spoilt in server_fails(state)
        return
    assert str(state) in server_fails(state, unprivileged=kind == "no permission")


def test_a_second_server_in_the_same_directory(state):
    with ReferenceServer(state):
        assert f"another server works in {state}" in server_fails(state)


@pytest.mark.parametrize(
    "words",
    [
        ("--port", "70000"), ("--port", "-1"), ("--port", "x"), ("--ca-key-type", "ec-p999"), ("--ca-key-type", "rsa-512"),
        ("--lifetime", "0"), ("--lifetime", "-5"), ("--lifetime", "1e9"), ("--lifetime", "99999999999999"),
        ("--retry-after", "-1"), ("--clock-offset", "nan"), ("--clock-offset", "1e300"), ("--csrattr", "macAddress"),
        ("--document", "/x"), ("--document", "x=/etc/passwd"), ("--document", "/x=/no/such/file"), ("--label", "cacerts"),
        ("--client-anchors", "/no/such/file"), ("--client-anchors", "/etc/hostname"), ("--fault", "nonsense"),
        ("--fault", "delay=soon"), ("--fault", "status=abc"), ("--name", "b\u00fccher.example"), ("--name", ""), ("--nonsense",),
        ("--tls-min", "1.3", "--tls-max", "1.2"), ("--tls-min", "1.1"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(state, words):
    assert words[0] in server_fails(state, *words)
    assert not state.exists()


def test_commands_that_make_no_sense(tmp_path):
    assert "COMMAND" in fails()
    assert "nonsense" in fails("nonsense")
    assert "--state" in fails("server")
    for command in ("list", "approve", "deny"):
        assert "is not the state directory" in fails(command, "--state", tmp_path)
    assert "is not the state directory" in fails("revoke", "--state", tmp_path, "12")
    (tmp_path / "server.sqlite").write_bytes(b"this is no database " * 100)
    assert "server.sqlite" in fails("list", "--state", tmp_path)
    assert "12" in fails("approve", "--state", tmp_path, "x12")


@pytest.mark.parametrize("simulator", ["softhsm", "swtpm"])
def test_simulators_whose_directory_cannot_be_used(tmp_path, simulator):
    (tmp_path / "file").write_text("x")
    assert str(tmp_path / "file") in fails(simulator, "--state", tmp_path / "file")
    assert simulator in fails(simulator, "--state", tmp_path / "x", env={"PATH": "/nowhere"})


@pytest.mark.parametrize("simulator", ["softhsm", "swtpm"])
def test_a_command_that_cannot_be_run(simulator):
    """126 and 127 as a shell has them."""
    assert "no-such-program" in fails(simulator, "--", "no-such-program", code=127)
    assert "/etc/hostname" in fails(simulator, "--", "/etc/hostname", code=126)


def test_nobody_reads_what_it_says(state):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*SIM, "server", "--state", state, "--json"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=100, check=False
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "device-sdk-sim: standard output: No space left on device\n")


def _ended(process, signal_number):
    """Until it has ended; a KeyboardInterrupt in the middle of Python's own start may get lost, so Ctrl-C comes twice."""
    try:
        return process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        if signal_number is not signal.SIGINT:
            raise
        process.send_signal(signal_number)
        return process.communicate(timeout=20)
    finally:
        process.kill()


@pytest.mark.parametrize(("signal_number", "steps"), [(signal.SIGTERM, 6), (signal.SIGINT, 3), (signal.SIGHUP, 3)])
def test_a_signal_at_any_moment_of_the_start(tmp_path, signal_number, steps):
    """It ends without a word, nothing half made stays, and the next server starts in the same directory."""
    for step in range(steps):
        state = tmp_path / str(step)
        words = [*SIM, "server", "--state", state, "--user", "lab", "--json", "--ca-key-type", "rsa-2048"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            time.sleep(step / steps)
            process.send_signal(signal_number)
            out, err = _ended(process, signal_number)
        # before the program has installed its handler the signal ends it as it ends any program
        in_python = signal_number is signal.SIGINT and "Failed to import the site module" in err
        assert process.returncode in (0, -signal_number, 1 if in_python else 0), (step, process.returncode, err)
        if process.returncode == 0:
            assert err == "", step
        assert not list(state.glob(".*")), step
        assert out.count("\n") <= 1
        with ReferenceServer(state):
            pass


def test_a_terminal_that_closes_leaves_no_tpm_behind():
    with subprocess.Popen([*SIM, "swtpm", "--json"], stdout=subprocess.PIPE, text=True) as process:
        facts = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=60) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(facts["pid"], 0)


def test_a_failed_start_can_be_tried_again_in_the_same_process(state):
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(SimulatorError, match="already in use"):
        ReferenceServer(state, port=other.getsockname()[1])
    with ReferenceServer(state) as server:
        assert server.port
