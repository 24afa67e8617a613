"""`device-sdk enroll` and `renew` in trouble: what is waited for, shown, asked and logged on the way."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SoftHsm

from tests.cli.conftest import Lab, leaf
from tests.cli.terminal import Terminal
from tests.cli.test_secrets import _at_terminal

pytestmark = pytest.mark.slow

NO_PIN = "Enter alone: none"


@pytest.fixture
def est_server(tmp_path: Path) -> Iterator[ReferenceServer]:
    """A server that wants a password on top of the certificate, by Digest."""
    with ReferenceServer(tmp_path / "server", policy=Policy(http_auth=("digest",), require_password=True)) as server:
        yield server


def test_one_renewal_through_digest_202_and_503_with_a_token(lab: Lab, token: SoftHsm, tmp_path: Path) -> None:
    """EST-80, EST-160, EST-162, EST-164 in one run; -v tells each exchange, and no secret."""
    key = token.uri_of("device")
    lab.cli.ok(*lab.enroll_words(key))
    first = leaf(lab.state / "current.pem")
    lab.server.faults.set("overload", "503 1", operation="csrattrs", times=2)
    assert "503" in lab.cli.fails(7, "renew", "--state", lab.state, *lab.login)
    lab.server.faults.set("retry_after", "1", operation="simplereenroll", times=1)
    done = lab.cli.ok("renew", "--state", lab.state, *lab.login, "--wait", "60", "-v")
    assert done.out.startswith("renewed: CN=router-7")
    second = leaf(lab.state / "current.pem")
    assert second.public_key() != first.public_key()
    waits = [line for line in done.err.splitlines() if line.startswith("waiting: ")]
    assert any("accepted and not decided yet" in line for line in waits)
    assert any("overloaded" in line for line in waits)
    said = [
        (match[1], match[2], match[3]) for match in re.finditer(r"operation=(\S+) .*auth=(\S+) status=(\d+)", done.err)
    ]
    assert said == [
        ("cacerts", "tls", "200"),
        ("csrattrs", "tls", "503"),
        ("csrattrs", "tls", "200"),
        ("simplereenroll", "tls", "202"),
        ("simplereenroll", "tls", "401"),
        ("simplereenroll", "tls+digest", "200"),
        ("cacerts", "tls", "200"),  # the proof of the new pair
    ]
    secret = lab.server.password_file.read_text().strip()
    for word in (secret, token.pin, "Authorization", "MII", "nonce"):
        assert word not in done.err + done.out
    assert lab.cli("needs-renewal", "--state", lab.state).code == 1


def test_a_renewal_counts_down_and_goes_on_after_ctrl_c(lab: Lab, terminal) -> None:
    lab.enrolled()
    made = lab.keys / "device-2.pem"
    lab.server.faults.set("retry_after", "3", operation="simplereenroll", times=1)
    shell: Terminal = terminal("renew", "--state", lab.state, *lab.login, "--wait", "30")
    shell.until(NO_PIN)
    shell.type("\n")
    shell.until("accepted and not decided yet")
    shell.process.send_signal(signal.SIGINT)
    assert shell.end() == 130
    key = made.read_bytes()
    assert lab.cli.ok("show", "--state", lab.state, "--json").json["under_way"]["phase"] == "pending"
    again: Terminal = terminal("renew", "--state", lab.state, *lab.login, "--wait", "30")
    assert again.end() == 0, again.seen
    assert "accepted and not decided yet" in again.seen, "what is left of the Retry-After is shown"
    assert made.read_bytes() == key


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 7)])
def test_est_29_a_person_is_asked_whether_a_renewal_may_go_elsewhere(
    lab: Lab,
    answer: str,
    code: int,
    terminal,
) -> None:
    lab.server.policy.require_password = False
    lab.enrolled()
    origin = lab.server.url.replace("localhost", "127.0.0.1")
    lab.server.faults.set("redirect", f"{origin}/.well-known/est/simplereenroll", operation="simplereenroll", times=1)
    shell: Terminal = terminal("renew", "--state", lab.state)
    shell.until(NO_PIN)
    shell.type("\n")
    shell.until(f"Send it to {origin}, with the certificate but without the password? [y/N]")
    shell.type(answer)
    assert shell.end() == code


@pytest.mark.slow
def test_est_29_allow_redirect(lab: Lab) -> None:
    lab.server.policy.require_password = False
    lab.enrolled()
    origin = lab.server.url.replace("localhost", "127.0.0.1")
    redirect = ("redirect", f"{origin}/.well-known/est/simplereenroll")
    lab.server.faults.set(*redirect, operation="simplereenroll", times=1)
    lab.cli.fails(7, "renew", "--state", lab.state)
    lab.server.faults.set(*redirect, operation="simplereenroll", times=1)
    lab.cli.ok("renew", "--state", lab.state, "--allow-redirect", origin)
    assert "HTTPS" in lab.cli.fails(2, "renew", "--state", lab.state, "--allow-redirect", "http://x").upper()


@pytest.mark.slow
def test_retry_waits_where_nobody_is(lab: Lab) -> None:
    words = ("enroll", "--state", lab.state, "--key", f"file:{lab.keys}/d.pem", "--subject", "CN=x", "--url",
             "https://localhost:1", "--wait", "3")  # fmt: skip
    for trust in (("--anchors", lab.server.ca_file), ("--pin", lab.pin)):
        assert "waiting" not in lab.cli(*words, *trust).err
        done = lab.cli(*words, *trust, "--retry")
        assert done.code == 5
        assert "waiting: the server cannot be reached" in done.err


@pytest.mark.slow
def test_a_pin_waits_for_an_overloaded_server(lab: Lab) -> None:
    """EST-160: on the unauthenticated connection, too; with --json nothing is said of it."""
    for number, more in enumerate(((), ("--json",))):
        lab.server.faults.set("overload", "503 1", operation="cacerts", times=2)
        done = lab.cli.ok(
            "enroll", "--state", lab.directory / f"state-{number}", "--key", f"file:{lab.keys}/{number}.pem", "--url",
            lab.server.url, "--pin", lab.pin, *lab.login, "--subject", "CN=router-7", "--wait", "30", *more,
        )  # fmt: skip
        assert done.err.count("waiting: ") == (0 if more else 2)


@pytest.mark.slow
def test_one_wait_for_the_bootstrap_of_est_commands_and_what_follows(lab: Lab) -> None:
    lab.server.faults.set("overload", "503 2", operation="cacerts", times=1)
    lab.server.faults.set("retry_after", "2", operation="simpleenroll")
    done = lab.cli("est", "enroll", "--url", lab.server.url, "--pin", lab.pin, *lab.login, "--subject", "CN=x",
                   "--key", lab.key(), "--out", lab.directory / "d.pem", "--wait", "4")  # fmt: skip
    assert done.code == 8, done
    assert done.err.count("waiting: ") == 1, "two seconds of four were spent on bootstrap"


def test_a_person_is_asked_only_where_there_is_something_to_do(lab: Lab) -> None:
    """EST-71: not again by a device that is enrolled."""
    words = ("enroll", "--state", lab.state, "--key", f"file:{lab.keys}/d.pem", "--url", lab.server.url,
             *lab.login, "--subject", "CN=x")  # fmt: skip
    code, screen = _at_terminal(lab.cli, ["yes", ""], *words)
    assert code == 0, screen
    assert f"--pin sha256:{lab.server.ca_sha256}" in screen
    code, screen = _at_terminal(lab.cli, [], *words)
    assert code == 0, screen
    assert "fingerprint" not in screen


@pytest.mark.slow
def test_a_certificate_that_is_not_valid_yet_is_kept(lab: Lab) -> None:
    """Exit code 11, and the next run has it without asking; EST-139."""
    lab.server.policy.require_password = False
    lab.enrolled()
    lab.server.faults.parse("future@simplereenroll")
    for _ in range(2):
        assert "clock" in lab.cli.fails(11, "renew", "--state", lab.state)
    assert [operation for operation, status in lab.operations() if operation == "simplereenroll"] == ["simplereenroll"]
    assert lab.cli.ok("show", "--state", lab.state, "--json").json["under_way"]["phase"] == "issued"


@pytest.mark.slow
def test_est_58_no_implicit(lab: Lab) -> None:
    """`renew --no-implicit` is remembered; what configurations say of the enrolment's trust does not count."""
    lab.server.policy.require_password = False
    lab.cli.environment["SSL_CERT_FILE"] = str(lab.server.ca_file)
    lab.enrolled()
    state = lab.state / "state.json"
    lab.cli.ok("renew", "--state", lab.state, env={"DEVICE_SDK_EST_IMPLICIT": "yes"})
    assert '"implicit": false' in state.read_text()
    lab.cli.ok("renew", "--state", lab.state, "--implicit")
    assert '"implicit": true' in state.read_text()
    lab.cli.ok("renew", "--state", lab.state, "--no-implicit")
    assert '"implicit": false' in state.read_text()
    assert '"announce": true' in state.read_text()
