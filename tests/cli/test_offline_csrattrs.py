"""What the server wants in a request, asked and followed by file (EST-170 to EST-186)."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from device_sdk_simulators.csr_demand import Demand, DemandedExtension

from tests.cli.carrying import anchors, carry, login
from tests.cli.conftest import Lab, leaf

pytestmark = pytest.mark.slow

KEY_USAGE = "2.5.29.15"
SIGNING = bytes.fromhex("03020780")
DEMAND = Demand(
    key="ec-p384",
    subject=(("2.5.4.3", None), ("2.5.4.11", "lab")),
    extensions=(DemandedExtension(KEY_USAGE, critical=True, value=SIGNING),),
    mac_address=True,
)


def asked(lab: Lab, *more: str) -> Path:
    """The file with the server's answer."""
    answer = lab.directory / "attrs.ans"
    lab.cli.ok("est", "csrattrs", "--url", lab.server.url, "--offline-out", "attrs.req")
    carry(lab, lab.directory / "attrs.req", answer, *more)
    return answer


@pytest.mark.parametrize("more", [("-i",), ()])
@pytest.mark.parametrize("form", ["rfc8951", "rfc9908"])
def test_est_170_the_same_as_over_the_network(form: str, more: tuple[str, ...], lab: Lab) -> None:
    lab.server.policy.demands = [Demand(**{**vars(DEMAND), "form": form})]
    asked(lab, *more)
    read = ("est", "csrattrs", "--url", lab.server.url, "--offline-in", "attrs.ans")
    direct = ("est", "csrattrs", *lab.trust)
    done = lab.cli.ok(*read)
    assert done.out == lab.cli.ok(*direct).out
    assert "keys: an EC key on secp384r1" in done.out
    assert "nobody signs this answer" in done.err
    assert lab.cli.ok(*read, "--json").json == lab.cli.ok(*direct, "--json").json
    lab.cli.ok(*read, "--out", "attrs.txt")
    assert (lab.directory / "attrs.txt").read_text() == done.out


def test_est_171_no_wishes(lab: Lab) -> None:
    lab.server.policy.csrattrs = []
    read = ("est", "csrattrs", "--url", lab.server.url, "--offline-in", "attrs.ans")
    asked(lab, "-i")
    assert lab.cli.ok(*read).out == "no wishes\n"
    asked(lab)
    assert "curl -i saves the status" in lab.cli.fails(7, *read)


def test_est_180_a_template_is_followed(lab: Lab, tmp_path: Path) -> None:
    """The server holds the request to what it demands: without the file it refuses."""
    lab.server.policy.demands = [Demand(**{**vars(DEMAND), "form": "rfc9908"})]
    asked(lab)
    key = lab.key("device", "ec-p384")
    words = ("est", "enroll", "--url", lab.server.url, "--key", key, "--subject", "CN=router-7")
    followed = ("--csrattrs", "attrs.ans", "--mac", "00:00:92:90:ee:e2")
    into = ("--anchors", anchors(lab), "--offline-in", "r.ans", "--out", "device.pem")
    lab.cli.ok(*words, "--offline-out", "r.req")
    carry(lab, tmp_path / "r.req", tmp_path / "r.ans", "-i", *login(lab))
    assert "400" in lab.cli.fails(7, *words, *into)
    lab.cli.ok(*words, *followed, "--offline-out", "r.req")
    carry(lab, tmp_path / "r.req", tmp_path / "r.ans", "-i", *login(lab))
    done = lab.cli.ok(*words, *followed, *into)
    assert done.err == ""
    issued = leaf(tmp_path / "device.pem")
    assert issued.subject.rfc4514_string() == "OU=lab,CN=router-7"
    assert issued.extensions.get_extension_for_class(x509.KeyUsage).critical
    current = ("est", "reenroll", "--url", lab.server.url, "--key", key, "--cert", "device.pem", "--same-key")
    lab.cli.ok(*current, *followed, "--offline-out", "renew.req")
    other = ("est", "enroll", "--url", lab.server.url, "--key", lab.key("other"), "--subject", "CN=router-7")
    assert "secp384r1" in lab.cli.fails(7, *other, *followed, "--offline-out", "other.req")
    assert not (tmp_path / "other.req").exists()


def test_est_92_a_binding_cannot_be_had(lab: Lab, tmp_path: Path) -> None:
    lab.server.policy.require_binding = True
    asked(lab)
    words = ("est", "enroll", "--url", lab.server.url, "--key", lab.key(), "--subject", "CN=router-7")
    said = lab.cli.fails(2, *words, "--csrattrs", "attrs.ans", "--offline-out", "r.req")
    assert "bound to the TLS connection" in said
    assert not (tmp_path / "r.req").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("enroll", "--key", "KEY", "--csrattrs", "x"), "--csrattrs goes with --offline-out"),
        (("csrattrs", "--offline-in", "x", "--pin", "PIN"), "--pin cannot vouch for it"),
        (("csrattrs", "--offline-in", "x", "--anchors", "CA"), "--anchors cannot vouch for it"),
        (("csrattrs", "--offline-out", "r", "--user", "lab"), "--user is for a connection"),
        (("csrattrs", "--offline-in", "missing"), "cannot read missing"),
        (("enroll", "--key", "KEY", "--csrattrs", "missing", "--offline-out", "r"), "cannot read missing"),
        (("enroll", "--key", "KEY", "--otp-file", "x", "--offline-out", "r"), "--otp-file needs a server"),
    ],
)
def test_mistakes(words: tuple[str, ...], said: str, lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    stands = {"KEY": lab.key, "CA": lambda: lab.server.ca_file, "PIN": lambda: lab.pin}
    given = [stands[word]() if word in stands else word for word in words]
    assert said in lab.cli.fails(2, "est", *given, "--url", lab.server.url)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"<html>", "HTML page"),
        (b"MIIB", "cannot be read"),
        (b"HTTP/1.1 202 Accepted\r\n\r\n", "answered 202"),
        (b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n", "asks for authentication"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/pkcs7-mime\r\n\r\nMAA=", "Content-Type"),
        (b"x" * (1024 * 1024 + 1), "larger than"),
    ],
)
def test_est_166_answers_that_are_none(answer: bytes, said: str, lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(answer)
    assert said in lab.cli.fails(7, "est", "csrattrs", "--url", lab.server.url, "--offline-in", "a")


def test_est_09_the_dialect_of_the_server_is_in_the_url(lab: Lab, tmp_path: Path) -> None:
    """How operations are spelt is about the request, not about the connection."""
    lab.cli.ok("est", "csrattrs", "--url", lab.server.url, "--dialect", "draft-04", "--offline-out", "r")
    assert '/CSRAttrs"' in (tmp_path / "r").read_text()
