"""What a person sees and is asked while a server lets them wait or sends them elsewhere; and the log with -v."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Lab, leaf
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.slow

CANARY = "c4n4ry-p4ss"


def enroll(lab: Lab, *more: object, key: str | None = None) -> tuple[object, ...]:
    words = ("est", "enroll", *lab.trust, *lab.login, "--subject", "CN=router-7", "--out", lab.directory / "d.pem")
    return (*words, "--key", key or lab.key(), *more)


def test_a_terminal_counts_down_in_one_line(lab: Lab, terminal: Callable[..., Terminal]) -> None:
    lab.server.faults.set("retry_after", "3", times=1, operation="simpleenroll")
    shell = terminal(*enroll(lab, "--wait", "20"))
    assert shell.end() == 0
    shown = re.findall(r"\rwaiting (\d:\d\d): accepted and not decided yet[^\r\n]*\x1b\[K", shell.seen)
    assert shown[:3] == ["0:03", "0:02", "0:01"]
    assert "\n" not in shell.seen
    assert all(
        "Ctrl-C stops, rerun" in line and len(line) < 80 for line in re.findall(r"\rwaiting ([^\r]*)\x1b", shell.seen)
    )
    assert shell.seen.endswith("\r\x1b[K")
    assert all(len(line) < 100 for line in re.split(r"\r", shell.seen.replace("\x1b[K", "")))
    assert (lab.directory / "d.pem").exists()


@pytest.mark.slow
def test_elsewhere_each_wait_is_a_line(lab: Lab) -> None:
    lab.server.faults.set("overload", "429 1", times=1, operation="simpleenroll")
    done = lab.cli.ok(*enroll(lab, "--wait", "20"))
    assert re.fullmatch(r"waiting: the server asks for fewer requests \(too many requests\); 1 s\n", done.err)


def test_a_wait_is_never_of_no_second(lab: Lab) -> None:
    lab.server.faults.set("retry_after", "0", operation="simpleenroll")
    said = lab.cli.fails(8, *enroll(lab))
    assert "ask again in 0 s" not in said
    assert re.search(r"ask again in [1-9][0-9]* s", said)


def test_an_error_after_a_redirect_says_where_it_came_from(lab: Lab) -> None:
    origin = lab.server.url.replace("localhost", "127.0.0.1")
    first = f"{lab.server.url}/.well-known/est/csrattrs"
    there = f"{origin}/.well-known/est/cacerts"
    lab.server.faults.set("redirect", there, operation="csrattrs", times=1)
    failed = lab.cli("est", "csrattrs", *lab.trust, "--json")
    assert (failed.code, failed.error["url"]) == (7, there), failed.err
    assert failed.error["message"].startswith(f"{there} (redirected from {first}): ")


@pytest.mark.slow
def test_with_json_nothing_is_said_of_waiting(lab: Lab) -> None:
    lab.server.faults.set("overload", "503 1", times=1, operation="cacerts")
    done = lab.cli.ok(*enroll(lab, "--wait", "20", "--json"))
    assert done.err == ""
    assert done.json["certificate"]


def test_a_whole_enrolment_waits_for_an_overloaded_server(lab: Lab) -> None:
    """`enroll`: every request of it, within one --wait."""
    for operation in ("cacerts", "csrattrs", "simpleenroll"):
        lab.server.faults.set("overload", "503 1", operation=operation, times=1)
        done = lab.cli.ok(*lab.enroll_words(f"file:{lab.keys}/new.pem", "--wait", "100", "--again"))
        assert done.err.count("waiting:") == 1


def test_without_wait_an_overload_is_an_error_at_once(lab: Lab) -> None:
    lab.server.faults.set("overload", "503 1", operation="cacerts")
    failed = lab.cli(*enroll(lab, "--json"))
    assert (failed.code, failed.error["status_code"], failed.error["retry_after_s"]) == (7, 503, 1.0)


@pytest.mark.parametrize("command", ["est", "device"])
def test_ctrl_c_leaves_what_a_later_run_goes_on_with(command: str, lab: Lab, terminal: Callable[..., Terminal]) -> None:
    """EST-163: the same key is recognised; the device's journal has the request."""
    lab.server.faults.set("retry_after", "60", times=1, operation="simpleenroll")
    key = lab.key()
    words = enroll(lab, key=key) if command == "est" else lab.enroll_words(key, "--reuse")
    shell = terminal(*words, "--wait", "120")
    shell.until("waiting 1:00")
    os.killpg(shell.process.pid, signal.SIGINT)
    assert shell.end() == 130
    assert "the same command goes on later" in shell.seen
    assert "interrupted" in shell.seen
    if command == "est":
        lab.cli.ok(*words)
        assert leaf(lab.directory / "d.pem")
    else:
        assert "left alone" in lab.cli.fails(8, *words)


@pytest.mark.slow
def test_a_redirect_of_an_enrolment_is_refused_unless_allowed(lab: Lab) -> None:
    origin = lab.server.url.replace("localhost", "127.0.0.1")
    lab.server.faults.set("redirect", f"{origin}/.well-known/est/simpleenroll", operation="simpleenroll", times=1)
    key = lab.key()
    line = lab.cli.fails(7, *enroll(lab, key=key))
    assert origin in line
    assert f"--allow-redirect {origin}" in line
    assert "redirected from" not in line
    lab.server.faults.set("redirect", f"{origin}/.well-known/est/simpleenroll", operation="simpleenroll", times=1)
    failed = lab.cli(*enroll(lab, "--allow-redirect", "https://127.0.0.1:1", key=key))
    assert failed.code == 7
    lab.server.faults.set("redirect", f"{origin}/.well-known/est/simpleenroll", operation="simpleenroll", times=1)
    allowed = lab.cli(*enroll(lab, "--allow-redirect", f"{origin}/", "--json", key=key))
    assert allowed.error["code"] == "authentication-required"
    assert "credentials are for" in allowed.error["message"] or allowed.error["schemes"]


@pytest.mark.parametrize("wrong", ["http://est.example", "est.example:x", "https://user@est.example"])
def test_origins_that_cannot_be_allowed(wrong: str, lab: Lab) -> None:
    words = enroll(lab, "--allow-redirect", wrong)
    assert lab.cli(*words).code == 2


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 7), ("no\n", 7)])
def test_a_person_is_asked(answer: str, code: int, lab: Lab, tmp_path: Path, terminal: Callable[..., Terminal]) -> None:
    """EST-29, with a certificate for TLS, which goes along; a password would not."""
    key = lab.key()
    pair = lab.certificate(tmp_path / "c.pem", key)
    origin = lab.server.url.replace("localhost", "127.0.0.1")
    lab.server.faults.set("redirect", f"{origin}/.well-known/est/simplereenroll", operation="simplereenroll", times=1)
    words = ("est", "reenroll", "--same-key", *lab.trust, "--key", key, "--cert", pair, "--out", tmp_path / "d.pem")
    shell = terminal(*words)
    shell.until(f"Send it to {origin}, with the certificate but without the password? [y/N]")
    shell.type(answer)
    assert shell.end() == code
    assert (tmp_path / "d.pem").exists() == (code == 0)


@pytest.mark.slow
def test_retry_waits_for_a_server_that_is_not_there_yet(lab: Lab) -> None:
    words = ("est", "cacerts", "--anchors", lab.server.ca_file, "--url", "https://127.0.0.1:1", "--wait", "4")
    assert "waiting:" not in lab.cli.fails(5, *words)
    start = time.monotonic()
    done = lab.cli(*words, "--retry")
    assert done.code == 5
    waits = re.findall(r"waiting: the server cannot be reached.*; (\d+) s\n", done.err)
    assert waits
    assert time.monotonic() - start > 0.5 * sum(map(int, waits))


def test_a_verbose_command_logs_each_exchange_and_no_secret(lab: Lab, tmp_path: Path) -> None:
    """Canaries: the password, a PIN of the configuration, and the CSR with its channel binding."""
    (tmp_path / "pin").write_text(CANARY)
    done = lab.cli.ok(*enroll(lab, "-v", "--key-pin-file", tmp_path / "pin"))
    lines = [line for line in done.err.splitlines() if "operation=" in line]
    assert len(lines) >= 3
    assert all(re.match(r"device-sdk: time=\S+ operation=\w+ method=(GET|POST) url=https://", line) for line in lines)
    assert re.search(r"operation=simpleenroll .*auth=(basic|digest) status=200 .*outcome=answered", done.err)
    secret = lab.server.password_file.read_text().strip()
    for word in (CANARY, secret, "Authorization", "MII"):
        assert word not in done.err


def test_with_json_the_log_is_json_on_stderr(lab: Lab) -> None:
    done = lab.cli.ok("est", "cacerts", *lab.trust, "-v", "--json")
    entries = [json.loads(line)["exchange"] for line in done.err.splitlines() if line.startswith("{")]
    assert [entry["operation"] for entry in entries] == ["cacerts"]
    assert entries[0]["outcome"] == "answered"
    assert entries[0]["auth"] == "none"
    assert done.json["anchors"]


def test_a_quiet_command_logs_nothing(lab: Lab) -> None:
    assert lab.cli.ok("est", "cacerts", *lab.trust).err == ""
