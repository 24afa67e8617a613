"""The first trust in a server at a terminal: a person compares the fingerprint (RFC 7030 section 4.1.1; EST-70 to EST-78)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Lab
from tests.cli.test_secrets import _at_terminal
from tests.est.pki import Ca, certs_only, one_line
from tests.est.scripted_server import pkcs7

pytestmark = pytest.mark.slow
QUESTION = "Is this the fingerprint that the CA's owner gave you by another way? (yes/no): "


def url_of(lab: Lab) -> tuple[str, ...]:
    return "--url", lab.server.url


@pytest.mark.parametrize("answer", ["yes", " YES "])
def test_est_71_a_person_says_yes(cli: Cli, lab: Lab, answer: str) -> None:
    code, screen = _at_terminal(cli, [answer], "est", "cacerts", *url_of(lab), "--out", cli.directory / "ca.pem")
    assert code == 0, screen
    assert f"sha256:{lab.server.ca_sha256}\r\n{QUESTION}" in screen
    assert "CN=Reference Root CA, valid from 20" in screen
    assert f"--pin sha256:{lab.server.ca_sha256} instead" in screen
    assert lab.server.ca_file.read_text() in (cli.directory / "ca.pem").read_text()
    # EST-73, EST-77: on the unauthenticated connection one GET, everything else on new ones
    assert [entry["connection"] for entry in lab.server.log()] == [1, 2]


@pytest.mark.parametrize("answer", ["no", "", "y", "yesterday", "n" * 40 + "yes", "\x04"])
def test_est_71_anything_else_is_no(cli: Cli, lab: Lab, answer: str) -> None:
    code, screen = _at_terminal(cli, [answer], "est", "cacerts", *url_of(lab), "--out", cli.directory / "ca.pem")
    assert code == 6, screen
    assert "no CA certificate was confirmed" in screen
    assert not (cli.directory / "ca.pem").exists()
    assert lab.operations() == [("cacerts", 200)]


def test_est_72_est_73_no_password_before_the_answer(cli: Cli, lab: Lab) -> None:
    """The user is named, and still nothing but GET /cacerts goes to a server nobody accepted."""
    words = ("est", "enroll", *url_of(lab), *lab.login, "--key", lab.key(), "--subject", "CN=x")
    code, screen = _at_terminal(cli, ["no"], *words)
    assert code == 6, screen
    assert [(entry["method"], entry["authentication"]) for entry in lab.server.log()] == [("GET", "none")]


def test_est_118_enroll_stores_what_was_accepted(cli: Cli, lab: Lab, tmp_path: Path) -> None:
    state = tmp_path / "device"
    words = (
        "enroll",
        "--state",
        state,
        "--key",
        f"file:{tmp_path}/new.pem",
        *url_of(lab),
        *lab.login,
        "--subject",
        "CN=x",
    )
    code, screen = _at_terminal(cli, ["yes", ""], *words)
    assert code == 0, screen
    anchor = lab.server.ca_file.read_text().strip()
    assert any(anchor in file.read_text() for file in state.rglob("*.pem"))
    # from now on the state says whom to trust
    cli.ok("renew", "--state", state)


@pytest.mark.parametrize("operation", [("est", "cacerts"), ("est", "csrattrs")])
def test_without_a_terminal_nobody_is_asked_and_nothing_is_sent(cli: Cli, lab: Lab, operation: tuple[str, ...]) -> None:
    said = cli.fails(2, *operation, *url_of(lab), input=b"yes\n")
    assert "say whom to trust" in said
    assert lab.server.connections == 0


def test_a_pin_spares_the_question(cli: Cli, lab: Lab) -> None:
    code, screen = _at_terminal(cli, [], "est", "csrattrs", *url_of(lab), "--pin", lab.pin)
    assert code == 0, screen
    assert "Is this" not in screen


def test_names_cannot_write_on_the_screen_and_questions_are_bounded(cli: Cli, serve_many) -> None:
    """A server with ten roots, whose names hold escape sequences."""
    server = serve_many(10)
    code, screen = _at_terminal(cli, ["no"] * 5, "est", "cacerts", "--url", server.url)
    assert code == 6, screen
    assert screen.count(QUESTION) == 5
    assert "\x1b" not in screen


@pytest.fixture
def serve_many(tmp_path: Path):
    from tests.est.scripted_server import ScriptedServer

    opened = []

    def start(count: int) -> ScriptedServer:
        roots = [Ca.root(f"\x1b[2J\x1b]0;root {number}\x07") for number in range(count)]
        body = one_line(certs_only(*(one.certificate for one in roots)))
        opened.append(ScriptedServer(roots[0], tmp_path, {"cacerts": lambda _seen: pkcs7(body)}))
        return opened[0]

    yield start
    for server in opened:
        server.close()


@pytest.mark.slow
def test_est_77_a_fingerprint_costs_one_request_more(lab: Lab) -> None:
    """One /cacerts over the connection nobody vouches for; everything else over the authenticated one, once."""
    pinned = ("--url", lab.server.url, "--pin", lab.pin)
    lab.cli.ok("est", "cacerts", *pinned)
    assert lab.operations() == [("cacerts", 200)] * 2
    lab.cli.ok("est", "csrattrs", *pinned)
    assert lab.operations()[2:] == [("cacerts", 200), ("csrattrs", 200)]
    lab.cli.ok("est", "enroll", *pinned, *lab.login, "--key", lab.key(), "--subject", "CN=router-7")
    seen = lab.server.log()[4:]
    operations = [(entry["operation"], entry["status"]) for entry in seen]
    assert operations == [
        ("cacerts", 200), ("cacerts", 200), ("csrattrs", 200), ("simpleenroll", 401), ("simpleenroll", 200),
    ]  # fmt: skip
    assert seen[0]["connection"] != seen[1]["connection"]
    assert {entry["connection"] for entry in seen[1:]} == {seen[1]["connection"]}
    assert seen[0]["authentication"] == seen[1]["authentication"] == "none"
