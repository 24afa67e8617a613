"""Full CMC by file: proofs in the message, a transaction that is kept until its answer comes (EST-204 to EST-207)."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.cli.carrying import anchors, carry, login
from tests.cli.conftest import Lab, leaf, openssl
from tests.est.pki import Ca

pytestmark = pytest.mark.slow

SECRET = "sixteen or more characters"
OUT, IN = ("--offline-out", "cmc.req"), ("--offline-in", "cmc.ans")


@pytest.fixture
def cmc(lab: Lab) -> Lab:
    lab.server.policy.fullcmc = True
    lab.server.est.full_cmc.store.add_secret("router-7", SECRET.encode())
    (lab.directory / "secret").write_text(SECRET + "\n")
    (lab.directory / "secret").chmod(0o600)
    return lab


def words(lab: Lab, key: str, *more: object) -> tuple[object, ...]:
    return "est", "fullcmc", "--url", lab.server.url, "--key", key, "--pending", "kept", *more


def enrol(lab: Lab, key: str) -> tuple[object, ...]:
    proof = ("--shared-secret-file", str(lab.directory / "secret"), "--identification", "router-7")
    return words(lab, key, "--subject", "CN=router-7", *proof)


def back(lab: Lab) -> tuple[str, ...]:
    return *IN, "--anchors", anchors(lab), "--out", "device.pem"


def carried(lab: Lab, *curl: str) -> Path:
    carry(lab, lab.directory / "cmc.req", lab.directory / "cmc.ans", *(curl or ("-i",)))
    return lab.directory / "cmc.ans"


def enrolled(lab: Lab, key: str) -> Path:
    lab.cli.ok(*enrol(lab, key), *OUT)
    carried(lab)
    lab.cli.ok(*enrol(lab, key), *back(lab))
    return lab.directory / "device.pem"


@pytest.mark.parametrize("curl", ["-i", "-s"])
def test_est_205_est_207_enrol_by_shared_secret(curl: str, cmc: Lab, tmp_path: Path) -> None:
    """The proof of the secret is in the message; the secret is in no file that was not given."""
    key = cmc.key()
    done = cmc.cli.ok(*enrol(cmc, key), *OUT)
    assert (done.out, "bound to no connection" in done.err) == ("", True)
    request = json.loads((tmp_path / "cmc.req").read_text())
    assert request["operation"] == "fullcmc"
    assert request["headers"]["Content-Type"] == "application/pkcs7-mime; smime-type=CMC-request"
    assert request["headers"]["Content-Disposition"] == 'attachment; filename="request.p7m"'
    assert request["spki_sha256"]
    kept = tmp_path / "kept"
    assert kept.stat().st_mode & 0o777 == 0o600
    message = base64.b64decode(request["body"])
    assert b"router-7" in message
    for held in (message, (tmp_path / "cmc.req").read_bytes(), kept.read_bytes()):
        assert SECRET.encode() not in held
    carried(cmc, curl)
    number = json.loads(kept.read_text())["transaction_id"]
    data = cmc.cli.ok(*enrol(cmc, key), *back(cmc), "--json").json
    assert data["cmc"] == {"transaction_id": number, "statuses": [{"status": "success", "text": None}]}
    out = tmp_path / "device.pem"
    assert "OK" in openssl("verify", "-CAfile", cmc.server.ca_file, "-untrusted", out, out)
    assert not kept.exists()


def test_est_207_renew_and_revoke(cmc: Lab, tmp_path: Path) -> None:
    """The certificate signs its renewal, and its revocation; and another one, of the factory, signs for a new key."""
    key, new = cmc.key(), cmc.key("new", "ec-p384")
    first = enrolled(cmc, key).rename(tmp_path / "first.pem")
    renew = words(cmc, key, "--cert", first, "--new-key", new)
    cmc.cli.ok(*renew, *OUT)
    carried(cmc)
    cmc.cli.ok(*renew, *back(cmc))
    assert leaf(tmp_path / "device.pem").subject == leaf(first).subject
    assert leaf(tmp_path / "device.pem").public_key().curve.name == "secp384r1"  # type: ignore[union-attr]
    other = words(cmc, cmc.key("other"), "--tls-cert", first, "--tls-key", key)
    cmc.cli.ok(*other, *OUT)
    carried(cmc)
    cmc.cli.ok(*other, *IN, "--anchors", "anchors.pem", "--out", "other.pem")
    revoke = words(cmc, new, "--revoke", "device.pem", "--reason", "superseded")
    cmc.cli.ok(*revoke, *OUT)
    assert "is not of this revocation" in cmc.cli.fails(2, *words(cmc, key, "--revoke", first), *OUT)
    carried(cmc)
    done = cmc.cli.ok(*revoke, *IN, "--anchors", "anchors.pem")
    serial = f"{leaf(tmp_path / 'device.pem').serial_number:x}"
    assert done.out == f"revoked CN=router-7, serial {serial}\n"
    assert cmc.server.est.full_cmc.store.revocation_reason(serial) == 4
    assert not (tmp_path / "kept").exists()


def test_revoke_by_shared_secret(cmc: Lab, tmp_path: Path) -> None:
    """There the protocol itself has the secret in the message: it is said, and nobody else can read the file."""
    lost = enrolled(cmc, cmc.key())
    proof = ("--shared-secret-file", "secret", "--identification", "router-7")
    revoke = ("est", "fullcmc", "--url", cmc.server.url, "--pending", "kept", *proof, "--revoke", lost)
    done = cmc.cli.ok(*revoke, *OUT)
    assert "holds the shared secret" in done.err
    for name in ("cmc.req", "kept"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    carried(cmc)
    assert "revoked CN=router-7" in cmc.cli.ok(*revoke, *IN, "--anchors", "anchors.pem").out
    assert SECRET not in json.dumps(cmc.server.log())


@pytest.mark.parametrize("more", [("--json",), ()])
def test_pending_is_asked_again_by_the_next_request(more: tuple[str, ...], cmc: Lab, tmp_path: Path) -> None:
    """RFC 5272 section 6.13; the answers of the two messages are not taken for each other."""
    cmc.server.policy.require_approval = True
    key = cmc.key()
    cmc.cli.ok(*enrol(cmc, key), *OUT)
    first = carried(cmc).read_bytes()
    done = cmc.cli(*enrol(cmc, key), *back(cmc), *more)
    assert done.code == 8
    if more:
        assert done.error["pending"] == json.loads((tmp_path / "kept").read_text())
    else:
        assert "--offline-out writes the next request" in done.err
    assert "pend_token" in json.loads((tmp_path / "kept").read_text())
    assert "waits for an answer" in cmc.cli.fails(2, *enrol(cmc, key), *back(cmc))
    cmc.cli.ok(*enrol(cmc, key), *OUT)
    (tmp_path / "cmc.ans").write_bytes(first)
    assert "recipientNonce" in cmc.cli.fails(6, *enrol(cmc, key), *back(cmc))
    cmc.server.est.queue.decide(None, approve=True)
    carried(cmc)
    cmc.cli.ok(*enrol(cmc, key), *back(cmc))
    assert leaf(tmp_path / "device.pem").subject.rfc4514_string() == "CN=router-7"
    assert not (tmp_path / "kept").exists()


def test_pending_goes_on_over_the_network_and_back(cmc: Lab, tmp_path: Path) -> None:
    """What is kept of a request that waits is the same either way."""
    cmc.server.policy.require_approval = True
    key = cmc.key()
    online = ("est", "fullcmc", *cmc.trust, *enrol(cmc, key)[4:])
    assert cmc.cli(*online).code == 8
    query = ("est", "fullcmc", "--url", cmc.server.url, "--key", key, "--query", "kept")
    cmc.cli.ok(*query, *OUT)
    carried(cmc)
    assert cmc.cli(*query, *back(cmc)).code == 8
    cmc.server.est.queue.decide(None, approve=True)
    cmc.cli.ok(*online, "--out", "device.pem")
    assert leaf(tmp_path / "device.pem").subject.rfc4514_string() == "CN=router-7"


def test_a_certificate_that_wants_confirmation(cmc: Lab, tmp_path: Path) -> None:
    """RFC 5272 section 6.14: it is not handed over before the server has acknowledged."""
    cmc.server.policy.fullcmc_confirm = True
    key = cmc.key()
    cmc.cli.ok(*enrol(cmc, key), *OUT)
    carried(cmc)
    assert "wants to hear that it is accepted" in cmc.cli.fails(8, *enrol(cmc, key), *back(cmc))
    assert not (tmp_path / "device.pem").exists()
    cmc.cli.ok(*enrol(cmc, key), *OUT)
    carried(cmc)
    cmc.cli.ok(*enrol(cmc, key), *back(cmc))
    serial = f"{leaf(tmp_path / 'device.pem').serial_number:x}"
    assert serial in [entry.get("confirmed_serial") for entry in cmc.server.log()]


def test_a_power_cut_before_the_request_is_written_costs_nothing(cmc: Lab, tmp_path: Path) -> None:
    """What its answer needs is kept first; the same command then writes the same request."""
    key = cmc.key()
    cmc.cli.ok(*enrol(cmc, key), *OUT)
    body = json.loads((tmp_path / "cmc.req").read_text())["body"]
    (tmp_path / "cmc.req").unlink()
    assert "the same request is written again" in cmc.cli.ok(*enrol(cmc, key), *OUT).err
    assert json.loads((tmp_path / "cmc.req").read_text())["body"] == body
    assert "is for another key" in cmc.cli.fails(2, *enrol(cmc, cmc.key("other")), *OUT)
    carried(cmc)
    assert "is for another key" in cmc.cli.fails(2, *enrol(cmc, "file:keys/other.pem"), *back(cmc))
    cmc.cli.ok(*enrol(cmc, key), *back(cmc))


def test_the_answer_to_another_transaction(cmc: Lab, tmp_path: Path) -> None:
    """Two requests on one stick, and their answers exchanged."""
    key = cmc.key()
    cmc.cli.ok(*enrol(cmc, key), *OUT)
    theirs = carried(cmc).read_bytes()
    (tmp_path / "kept").unlink()
    cmc.cli.ok(*enrol(cmc, key), *OUT)
    ours = carried(cmc).read_bytes()
    (tmp_path / "cmc.ans").write_bytes(theirs)
    done = cmc.cli(*enrol(cmc, key), *back(cmc), "--json")
    assert (done.code, done.error["code"], done.error["reason"]) == (6, "cmc-untrusted", "nonce")
    kept = json.loads((tmp_path / "kept").read_text())
    (tmp_path / "cmc.ans").write_bytes(ours)
    (tmp_path / "kept").write_text(json.dumps(kept | {"transaction_id": "1"}))
    assert cmc.cli(*enrol(cmc, key), *back(cmc), "--json").error["reason"] == "transaction"
    assert not (tmp_path / "device.pem").exists()


@pytest.mark.parametrize(
    ("twist", "code"),
    [
        (lambda answer: answer[:-40], 5),
        (lambda answer: answer.split(b"\r\n\r\n", 1)[1][:-40], 7),
        (lambda answer: b"<html>sign in", 7),
        (lambda answer: b"x" * (1024 * 1024 + 1), 7),
        (lambda answer: b"x" * (2 * 1024 * 1024 + 1), 2),
        (lambda answer: b"HTTP/1.1 202 Accepted\r\nRetry-After: 60\r\n\r\n", 8),
        (lambda answer: b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\n\r\n", 7),
        (lambda answer: b"HTTP/1.1 404 Not Found\r\n\r\n", 7),
        (lambda answer: answer.replace(b"application/pkcs7-mime", b"text/html"), 7),
    ],
)
def test_est_166_answers_that_are_none(twist, code: int, cmc: Lab, tmp_path: Path) -> None:
    """A typed error, no certificate; and the transaction waits for the right one."""
    key = cmc.key()
    cmc.cli.ok(*enrol(cmc, key), *OUT)
    good = carried(cmc).read_bytes()
    (tmp_path / "cmc.ans").write_bytes(twist(good))
    cmc.cli.fails(code, *enrol(cmc, key), *back(cmc))
    assert not (tmp_path / "device.pem").exists()
    (tmp_path / "cmc.ans").write_bytes(good)
    cmc.cli.ok(*enrol(cmc, key), *back(cmc))


def test_est_206_tampered_with_and_of_another_ca(cmc: Lab, tmp_path: Path) -> None:
    key = cmc.key()
    (tmp_path / "other.pem").write_bytes(Ca.root("Other").certificate.public_bytes(Encoding.PEM))
    cmc.cli.ok(*enrol(cmc, key), *OUT)
    der = bytearray(base64.b64decode(carried(cmc, "-s").read_bytes()))
    good = bytes(der)
    der[-5] ^= 1
    (tmp_path / "cmc.ans").write_bytes(der)
    assert "not believed" in cmc.cli.fails(6, *enrol(cmc, key), *back(cmc))
    (tmp_path / "cmc.ans").write_bytes(good)
    assert "not believed" in cmc.cli.fails(6, *enrol(cmc, key), *IN, "--anchors", "other.pem")
    cmc.cli.ok(*enrol(cmc, key), *back(cmc))


def test_a_refusal_says_what_to_do_with_the_file(cmc: Lab, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("another secret of enough characters\n")
    key = cmc.key()
    cmc.cli.ok(*enrol(cmc, key), *OUT)
    carried(cmc)
    said = cmc.cli.fails(7, *enrol(cmc, key), *back(cmc))
    assert "badIdentity" in said
    assert "delete kept" in said


def test_wishes_are_followed(cmc: Lab, tmp_path: Path) -> None:
    cmc.server.policy.require_binding = True
    cmc.cli.ok("est", "csrattrs", "--url", cmc.server.url, "--offline-out", "attrs.req")
    carry(cmc, tmp_path / "attrs.req", tmp_path / "attrs.ans", *login(cmc))
    said = cmc.cli.fails(2, *enrol(cmc, cmc.key()), "--csrattrs", "attrs.ans", *OUT)
    assert "bound to the TLS connection" in said
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (OUT, "give --pending FILE"),
        ((*IN, "--anchors", "CA"), "give --pending FILE"),
        ((*IN, "--anchors", "CA", "--pending", "missing"), "cannot read missing"),
        ((*IN, "--anchors", "CA", "--pending", "junk"), "not what a CMC request left"),
        ((*IN, "--pending", "junk"), "say whom to trust"),
        ((*IN, "--pending", "junk", "--implicit"), "--implicit vouches for a connection"),
        ((*OUT, "--query", "missing"), "cannot read missing"),
        ((*OUT, "--pending", "k", "--user", "lab"), "--user is for a connection"),
        ((*OUT, "--pending", "k", "--otp-file", "secret"), "--otp-file needs a server"),
        ((*OUT, *IN, "--pending", "k"), "not allowed with"),
        (("--csrattrs", "junk"), "--csrattrs goes with --offline-out"),
        (("--pending", "k", "--offline-out", "no/such/place"), "no/such/place"),
        (("--pending", "no/such/place", *OUT), "no/such/place"),
    ],
)
def test_mistakes(more: tuple[str, ...], said: str, cmc: Lab, tmp_path: Path) -> None:
    (tmp_path / "cmc.ans").write_bytes(b"x")
    (tmp_path / "junk").write_text("{}")
    given = [cmc.server.ca_file if word == "CA" else word for word in more]
    line = cmc.cli.fails(2, "est", "fullcmc", "--url", cmc.server.url, "--key", cmc.key(), "--subject", "CN=x", *given)
    assert said in line
    assert not (tmp_path / "k").exists()
    assert not (tmp_path / "cmc.req").exists()
    assert not cmc.server.log()
