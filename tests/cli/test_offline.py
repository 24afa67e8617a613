"""A station without a network: requests leave and answers come on a stick; curl is who carries them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.carrying import anchors, carry, login
from tests.cli.conftest import Lab, leaf, openssl

pytestmark = pytest.mark.slow


@pytest.mark.slow
def test_the_whole_way(lab: Lab, tmp_path: Path) -> None:
    """cacerts by pin, enrol, renew with a new key: not one connection of the device itself."""
    key, url = lab.key(), ("--url", lab.server.url)
    lab.cli.ok("est", "cacerts", *url, "--offline-out", "cacerts.req")
    carry(lab, tmp_path / "cacerts.req", tmp_path / "cacerts.ans", "-i")
    lab.cli.ok("est", "cacerts", *url, "--pin", lab.pin, "--offline-in", "cacerts.ans", "--out", "anchors.pem")

    enroll = ("est", "enroll", *url, "--key", key, "--subject", "CN=router-7")
    done = lab.cli.ok(*enroll, "--offline-out", "enroll.req")
    assert "bound to no connection" in done.err
    carry(lab, tmp_path / "enroll.req", tmp_path / "enroll.ans", *login(lab))
    lab.cli.ok(*enroll, "--anchors", "anchors.pem", "--offline-in", "enroll.ans", "--out", "device.pem")
    assert leaf(tmp_path / "device.pem").subject.rfc4514_string() == "CN=router-7"
    (tmp_path / "leaf.pem").write_text(openssl("x509", "-in", tmp_path / "device.pem"))
    openssl("verify", "-CAfile", tmp_path / "anchors.pem", tmp_path / "leaf.pem")

    new = lab.key("new")
    renew = ("est", "reenroll", *url, "--key", key, "--cert", "device.pem", "--new-key", new)
    lab.cli.ok(*renew, "--offline-out", "renew.req")
    pair = ("--cert", str(tmp_path / "leaf.pem"), "--key", str(lab.keys / "device.pem"))
    carry(lab, tmp_path / "renew.req", tmp_path / "renew.ans", *pair)
    lab.cli.ok(*renew, "--anchors", "anchors.pem", "--offline-in", "renew.ans", "--out", "renewed.pem")
    assert leaf(tmp_path / "renewed.pem").public_key() != leaf(tmp_path / "device.pem").public_key()
    assert leaf(tmp_path / "renewed.pem").subject == leaf(tmp_path / "device.pem").subject


@pytest.mark.slow
def test_the_request_file_is_documented_json(lab: Lab, tmp_path: Path) -> None:
    words = ("est", "enroll", "--url", lab.server.url, "--label", "lab", "--key", lab.key(), "--subject", "CN=a")
    done = lab.cli.ok(*words, "--offline-out", "r.json", "--json")
    written = json.loads((tmp_path / "r.json").read_text())
    assert done.json == {"request": written, "file": "r.json"}
    assert written["url"].endswith("/.well-known/est/lab/simpleenroll")
    assert set(written) == {
        "format",
        "version",
        "operation",
        "method",
        "url",
        "headers",
        "body",
        "channel_binding",
        "spki_sha256",
        "created",
    }
    (tmp_path / "r.csr").write_text(
        f"-----BEGIN CERTIFICATE REQUEST-----\n{written['body']}-----END CERTIFICATE REQUEST-----\n"
    )
    assert "verify OK" in openssl("req", "-in", tmp_path / "r.csr", "-noout", "-verify")
    assert not lab.server.log()


@pytest.mark.slow
def test_the_answer_to_another_request_writes_nothing(lab: Lab, tmp_path: Path) -> None:
    first, second = lab.key("a"), lab.key("b")
    words = ("est", "enroll", "--url", lab.server.url, "--subject", "CN=router-7")
    lab.cli.ok(*words, "--key", first, "--offline-out", "r.json")
    carry(lab, tmp_path / "r.json", tmp_path / "r.ans", *login(lab))
    into = ("--anchors", anchors(lab), "--offline-in", "r.ans", "--out", "device.pem")
    assert "requested key" in lab.cli.fails(7, *words, "--key", second, *into)
    assert not (tmp_path / "device.pem").exists()
    lab.cli.ok(*words, "--key", first, *into)


@pytest.mark.slow
def test_a_pending_answer_is_carried_again(lab: Lab, tmp_path: Path) -> None:
    lab.server.faults.set("retry_after", "60", operation="simpleenroll", times=1)
    words = ("est", "enroll", "--url", lab.server.url, "--subject", "CN=router-7", "--key", lab.key())
    into = ("--anchors", anchors(lab), "--offline-in", "r.ans", "--out", "device.pem")
    lab.cli.ok(*words, "--offline-out", "r.json")
    carry(lab, tmp_path / "r.json", tmp_path / "r.ans", "-i", *login(lab))
    assert "carry the same request" in lab.cli.fails(8, *words, *into)
    carry(lab, tmp_path / "r.json", tmp_path / "r.ans", "-i", *login(lab))
    lab.cli.ok(*words, *into)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("enroll", "--offline-out", "a", "--offline-in", "b"), "not allowed with"),
        (("enroll", "--offline-in", "missing", "--anchors", "CA"), "missing"),
        (("enroll", "--offline-in", "r.ans", "--pin", "PIN"), "est cacerts --offline-in"),
        (("enroll", "--offline-in", "r.ans", "--implicit"), "--implicit"),
        (("enroll", "--offline-in", "r.ans"), "whom to trust"),
        (("cacerts", "--offline-in", "r.ans"), "whom to trust"),
        (("enroll", "--offline-out", "no/such/place"), "no/such/place"),
        (("enroll", "--offline-out", "r", "--user", "lab"), "--user is for a connection"),
        (("enroll", "--offline-in", "r.ans", "--anchors", "CA", "--user", "lab"), "--user is for a connection"),
        (("cacerts", "--offline-out", "r", "--proxy", "http://proxy"), "--proxy is for a connection"),
        (("enroll", "--offline-out", "r", "--wait", "5"), "--wait is for a connection"),
        (
            ("enroll", "--offline-out", "r", "--tls-cert", "x.pem", "--tls-key", "file:x"),
            "--tls-cert is for a connection",
        ),
    ],
)
def test_mistakes(words: tuple[str, ...], said: str, lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "r.ans").write_bytes(b"x")
    given = [lab.server.ca_file if word == "CA" else lab.pin if word == "PIN" else word for word in words]
    line = lab.cli.fails(
        2, "est", *given, "--url", lab.server.url, *(("--key", lab.key()) if "enroll" in words else ())
    )
    assert said in line
    assert "at a terminal" not in line


@pytest.mark.slow
def test_a_pin_that_does_not_fit(lab: Lab, tmp_path: Path) -> None:
    url = ("--url", lab.server.url)
    lab.cli.ok("est", "cacerts", *url, "--offline-out", "r")
    carry(lab, tmp_path / "r", tmp_path / "a")
    assert "pinned" in lab.cli.fails(6, "est", "cacerts", *url, "--pin", f"sha256:{'0' * 64}", "--offline-in", "a")
