"""Servers that are wrong, refuse, or talk nonsense: exit code, one line that says what to do, and nothing lost."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from device_sdk_simulators.ca.tls import CMC_RA, SERVER_AUTH, TlsProfile

from tests.cli.conftest import Lab, leaf

pytestmark = pytest.mark.slow

_ENROLL = "simpleenroll"


def _est(lab: Lab, *more: object) -> tuple[object, ...]:
    return (
        "est",
        "enroll",
        *lab.trust,
        *lab.login,
        "--subject",
        "CN=router-7",
        "--out",
        lab.directory / "out.pem",
        *more,
    )


@pytest.fixture
def key(lab: Lab) -> str:
    return lab.key()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (TlsProfile(local_names=False, names=("other.example",)), "other.example"),
        (TlsProfile(expired=True), "expired"),
        (TlsProfile(unknown_ca=True), "not trusted"),
        (TlsProfile(send_chain=False), "intermediate"),
    ],
)
def test_not_the_server_that_was_meant(profile: TlsProfile, said: str, lab: Lab, key: str) -> None:
    """Exit 6, and nothing at all was sent (RFC 7030 section 3.6)."""
    lab.server.use_tls(profile)
    assert said in lab.cli.fails(6, *_est(lab, "--key", key))
    assert said in lab.cli.fails(6, *lab.enroll_words(f"file:{lab.keys}/new.pem"))
    assert lab.server.log() == []
    assert not (lab.directory / "out.pem").exists()
    assert not (lab.keys / "new.pem").exists()


@pytest.mark.slow
def test_a_server_of_the_future_is_a_matter_of_clocks(lab: Lab, key: str) -> None:
    """Its certificate begins in a year: more likely this machine's clock is wrong."""
    lab.server.use_tls(TlsProfile(not_yet_valid=True))
    assert "set the clock" in lab.cli.fails(11, *_est(lab, "--key", key))
    assert lab.server.log() == []


@pytest.mark.slow
def test_cmc_ra_stands_in_for_a_name_under_explicit_anchors_only(lab: Lab, key: str) -> None:
    """RFC 7030 section 3.6.1: id-kp-cmcRA; not under Implicit anchors (section 3.6.2)."""
    lab.server.use_tls(TlsProfile(local_names=False, usages=(SERVER_AUTH, CMC_RA)))
    lab.cli.ok(*_est(lab, "--key", key))
    before = lab.operations()
    words = ("est", "cacerts", "--url", lab.server.url, "--implicit")
    said = lab.cli.fails(6, *words, env={"SSL_CERT_FILE": str(lab.server.ca_file)})
    assert "name" in said
    assert lab.operations() == before


@pytest.mark.slow
def test_fingerprint_mismatch_sends_nothing_but_cacerts(lab: Lab) -> None:
    """EST-72 to EST-76: the log has nothing but GET /cacerts, and that without credentials."""
    wrong = ("--url", lab.server.url, "--pin", "sha256:" + "ab" * 32)
    key = f"file:{lab.keys}/device.pem"
    for words in (("est", "cacerts", *wrong), ("est", "csrattrs", *wrong),
                  ("est", "enroll", *wrong, *lab.login, "--key", lab.key("other"), "--subject", "CN=x"),
                  ("enroll", "--state", lab.state, "--key", key, *wrong, *lab.login, "--subject", "CN=x")):  # fmt: skip
        said = lab.cli.fails(6, *words)
        assert f"sha256:{lab.server.ca_sha256}" in said
        assert "compare the fingerprints" in said
    seen = {(e.get("operation"), e.get("authentication"), e.get("client_serial")) for e in lab.server.log()}
    assert seen == {("cacerts", "none", None)}
    assert not (lab.keys / "device.pem").exists()
    assert lab.cli("est", "cacerts", *wrong, "--json").error["seen"]


@pytest.mark.slow
def test_no_credentials_and_refused_ones(lab: Lab, key: str, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong")
    (tmp_path / "wrong").chmod(0o600)
    words = ("est", "enroll", *lab.trust, "--key", key, "--subject", "CN=x")
    said = lab.cli.fails(7, *words)
    assert "give a user name and a password file" in said
    failed = lab.cli(*words, "--user", "device", "--password-file", tmp_path / "wrong", "--json")
    assert (failed.code, failed.error["code"], failed.error["status_code"]) == (7, "authentication-required", 401)
    assert "refused the user name or password" in failed.err
    # one challenge, one answer, no third request
    assert [status for operation, status in lab.operations() if operation == _ENROLL] == [401, 401, 401]
    assert "refused" in lab.cli.fails(
        7, *lab.enroll_words(f"file:{lab.keys}/d.pem", "--password-file", tmp_path / "wrong")
    )
    first = (lab.keys / "d.pem").read_bytes()
    lab.cli.ok(*lab.enroll_words(f"file:{lab.keys}/d.pem"))
    assert (lab.keys / "d.pem").read_bytes() == first, "the same command finishes with the same key"


@pytest.mark.parametrize(
    ("fault", "value", "code", "said"),
    [
        ("status", "400", 7, "400"),
        ("status", "403", 7, "403"),
        ("status", "404", 7, "404"),
        ("status", "500", 7, "500"),
        ("status", "503", 7, "503"),
        ("html", "", 7, "500"),
        ("noise", "10485760", 7, "500: noise"),
        ("redirect", "307 https://other.example/x", 7, "redirect"),
        ("redirect", "302 http://localhost/x", 7, "redirect"),
        ("truncate", "", 5, "before"),
        ("truncate_quietly", "", 5, "too early"),
        ("reset", "", 5, "connection"),
        ("not_http", "", 7, "not HTTP"),
        ("big_header", "", 7, "header"),
        ("many_headers", "2000", 7, "header"),
        ("media_type", "text/html", 7, "text/html"),
        ("not_base64", "", 7, "base64"),
        ("not_cms", "", 7, "cannot be read"),
        ("empty_body", "", 7, "empty"),
        ("trailing", "", 7, ""),
        ("no_certificate", "", 7, "no certificate"),
        ("other_key", "", 7, "for the requested key"),
        ("other_issuer", "", 7, "anchor"),
        ("expired", "", 7, "expired"),
        ("future", "", 11, "set the clock"),
        ("retry_after", "2", 8, "not decided"),
    ],
)
def test_answers_that_are_no_certificate(fault: str, value: str, code: int, said: str, lab: Lab, key: str) -> None:
    """`est enroll` writes nothing; `enroll` ends with the same key once the server is well again."""
    lab.server.faults.set(fault, value, operation=_ENROLL)
    line = lab.cli.fails(code, *_est(lab, "--key", key))
    assert said in line, line
    assert len(line) < 900
    assert lab.server.url in line or code == 11, line
    # an issued certificate that only begins later is kept
    assert (lab.directory / "out.pem").exists() == (fault == "future")
    uri = f"file:{lab.keys}/new.pem"
    again = lab.cli.fails(code, *lab.enroll_words(uri))
    assert said in again
    made = (lab.keys / "new.pem").read_bytes()
    assert not (lab.state / "current.pem").exists()
    lab.server.faults.clear()
    if fault != "future":
        lab.cli.ok(*lab.enroll_words(uri, "--wait", "30"))
        assert (lab.keys / "new.pem").read_bytes() == made


@pytest.mark.parametrize(
    "fault",
    ["chunked", "wrap=64", "wrap=76crlf", "no_newline", "der", "ber", "unordered", "with_chain", "extra_roots=3",
     "pem@cacerts+simpleenroll+simplereenroll", "no_transfer_encoding", "no_media_type", "close", "hang_up", "no_length", "lower_case", "split", "http10", "interim",
     "empty_content"],
)  # fmt: skip
def test_answers_that_are_odd_and_right(fault: str, lab: Lab, key: str) -> None:
    """The tolerant reader, through the command line."""
    name, _, operations = fault.partition("@")
    for operation in operations.split("+"):
        lab.server.faults.parse(f"{name}@{operation}" if operation else name)
    lab.cli.ok(*_est(lab, "--key", key))
    lab.cli.ok(*lab.enroll_words(f"file:{lab.keys}/new.pem"))
    lab.cli.ok("renew", "--state", lab.state)


@pytest.mark.parametrize(
    ("fault", "code"), [("other_key", 7), ("status=503", 7), ("reset", 5), ("truncate", 5), ("unauthorized", 7)]
)
def test_a_renewal_that_fails_leaves_the_old_pair_in_use(fault: str, code: int, lab: Lab) -> None:
    lab.enrolled()
    before = lab.cli.ok("show", "--state", lab.state, "--json").json
    lab.server.faults.parse(f"{fault}@simplereenroll")
    lab.cli.fails(code, "renew", "--state", lab.state)
    after = lab.cli.ok("show", "--state", lab.state, "--json").json
    assert all(after[name] == before[name] for name in before if name not in ("under_way", "renewal"))
    assert after["under_way"]["operation"] == "renew"
    assert lab.cli("needs-renewal", "--state", lab.state).code == 0, "an interrupted renewal is due"
    lab.server.faults.clear()
    lab.cli.ok("renew", "--state", lab.state)
    assert len(list(lab.keys.glob("*.pem"))) == 1, "no orphan key"


@pytest.mark.slow
def test_html_and_control_characters_of_a_server_are_tamed(lab: Lab, key: str) -> None:
    lab.server.faults.set("html", operation=_ENROLL)
    failed = lab.cli(*_est(lab, "--key", key, "--json"))
    assert "<" not in failed.error["server_text"]
    assert failed.err.isprintable() or failed.err[:-1].isprintable()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@pytest.mark.slow
def test_nobody_there(lab: Lab, closed_port: int) -> None:
    for url, said in (
        (f"https://127.0.0.1:{closed_port}", "connection refused"),
        ("https://nonexistent.invalid", "cannot be resolved"),
    ):
        line = lab.cli.fails(5, "est", "cacerts", "--url", url, "--anchors", lab.server.ca_file)
        assert said in line
        assert url in line
    line = lab.cli.fails(5, "est", "cacerts", *lab.trust, "--proxy", f"http://127.0.0.1:{closed_port}")
    assert f"through the proxy 127.0.0.1:{closed_port}" in line
    proxied = lab.cli("est", "cacerts", *lab.trust, "--proxy", f"http://127.0.0.1:{closed_port}", "--json").error
    assert proxied["url"] == f"{lab.server.url}/.well-known/est/cacerts"
    assert proxied["proxy"] == f"127.0.0.1:{closed_port}"
    assert "device-sdk keys create" in lab.cli.fails(
        3, "est", "enroll", *lab.trust, "--key", f"file:{lab.keys}/none.pem", "--subject", "CN=x"
    )


@pytest.mark.slow
def test_a_server_that_is_slow(lab: Lab) -> None:
    lab.server.faults.set("delay", "5")
    failed = lab.cli("est", "cacerts", *lab.trust, "--timeout", "1", "--json")
    assert (failed.code, failed.error["code"]) == (5, "timeout")


@pytest.mark.slow
def test_a_clock_behind_the_certificates(lab: Lab, key: str) -> None:
    """The CA lives in the future: what it issues is not valid yet; the command is repeated when the clock is right."""
    real = lab.server.clock
    lab.server.clock = lambda: real() + timedelta(days=30)
    failed = lab.cli(*_est(lab, "--key", key, "--json"))
    assert (failed.code, failed.error["code"]) == (11, "clock")
    assert failed.error["now"] < failed.error["not_before"]
    written = (lab.directory / "out.pem").read_text()
    assert written == failed.error["pem"]
    assert (
        leaf(lab.directory / "out.pem").not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
        == failed.error["not_before"]
    )
    assert "out.pem" in failed.error["hint"]
    shown = lab.cli("est", "enroll", *lab.trust, *lab.login, "--subject", "CN=router-7", "--key", key)
    assert shown.code == 11
    assert shown.out.startswith("-----BEGIN CERTIFICATE-----")
    uri = f"file:{lab.keys}/new.pem"
    said = lab.cli.fails(11, *lab.enroll_words(uri))
    assert "set the clock" in said
    assert "run the same command again" in said
    made = (lab.keys / "new.pem").read_bytes()
    lab.server.clock = real
    # kept until this clock is right, and nobody is asked; or given up, with its key
    assert "set the clock" in lab.cli.fails(11, *lab.enroll_words(uri))
    assert (lab.keys / "new.pem").read_bytes() == made
    lab.cli.ok("abandon", "--state", lab.state)
    assert not (lab.keys / "new.pem").exists()
    lab.cli.ok(*lab.enroll_words(uri))
