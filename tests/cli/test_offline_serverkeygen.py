"""Keys from the server by file: the checks, files and journal of `est serverkeygen` (EST-190 to EST-202)."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.softhsm import SoftHsm

from tests.cli.carrying import anchors, carry, login
from tests.cli.conftest import Lab, leaf
from tests.cli.generated import SECRET, require_pair, shared
from tests.est.pki import Ca

pytestmark = pytest.mark.slow


def words(lab: Lab, *more: object) -> tuple[object, ...]:
    return "est", "serverkeygen", "--url", lab.server.url, "--subject", "CN=sensor-7", *more


def carried(lab: Lab, *more: object, curl: tuple[str, ...] = ("-i",)) -> Path:
    """The file with the answer to a request."""
    lab.cli.ok(*words(lab, *more), "--offline-out", "key.req")
    carry(lab, lab.directory / "key.req", lab.directory / "key.ans", *curl, *login(lab))
    return lab.directory / "key.ans"


def into(lab: Lab, key: object = "key.pem") -> tuple[object, ...]:
    return "--anchors", anchors(lab), "--offline-in", "key.ans", "--key-out", key, "--out", "cert.pem"


@pytest.mark.parametrize("curl", [("-i",), ()])
def test_est_196_encrypted_to_a_shared_secret(curl: tuple[str, ...], skg: Lab, tmp_path: Path) -> None:
    """The whole response, and its body alone, whose first delimiter names the boundary."""
    carried(skg, *shared(skg), curl=curl)
    done = skg.cli.ok(*words(skg, *shared(skg)), *into(skg))
    assert (done.out, done.err) == ("", "")
    require_pair(skg.directory / "key.pem", skg.directory / "cert.pem", skg)
    assert skg.server.log()[-2]["private_key"] == "encrypted"
    request = json.loads((tmp_path / "key.req").read_text())
    assert request["headers"] == {"Content-Type": "application/pkcs10", "Accept": "multipart/mixed"}
    assert request["spki_sha256"] is None
    assert SECRET.hex() not in (tmp_path / "key.req").read_text()
    assert SECRET not in base64.b64decode(request["body"])


@pytest.mark.parametrize("kind", ["ec-p384", "rsa-2048"])
def test_est_196_encrypted_to_a_key_of_ours(kind: str, skg: Lab, tmp_path: Path) -> None:
    ours = skg.key("ours", kind)
    to_ours = ("--decrypt-key", ours, "--decrypt-cert", skg.certificate(tmp_path / "ours.pem", ours))
    carried(skg, *to_ours, "--type", "ec-p521")
    skg.cli.ok(*words(skg, *to_ours), *into(skg))
    require_pair(skg.directory / "key.pem", skg.directory / "cert.pem", skg)
    assert leaf(tmp_path / "cert.pem").public_key().curve.name == "secp521r1"  # type: ignore[union-attr]


@pytest.mark.parametrize("curl", [("-i",), ()])
def test_est_195_in_the_clear(curl: tuple[str, ...], skg: Lab) -> None:
    """It has to be allowed, and whoever does that is told what it means."""
    done = skg.cli.ok(*words(skg, "--allow-clear"), "--offline-out", "key.req")
    assert "whoever carries the answer can read the private key" in done.err
    carried(skg, "--allow-clear", curl=curl)
    done = skg.cli.ok(*words(skg, "--allow-clear"), *into(skg), "--json")
    assert "key.ans has the private key in the clear, too: delete it" in done.err
    assert sorted(done.json) == ["certificate", "file", "key_file", "notes", "pem"]
    assert "PRIVATE" not in done.out + done.err
    require_pair(skg.directory / "key.pem", skg.directory / "cert.pem", skg)


def test_est_197_a_clear_key_where_an_encrypted_one_was_asked_for(skg: Lab, tmp_path: Path) -> None:
    """Whoever carries the request could have taken the attributes out of it. Nothing of the key is quoted."""
    answer = carried(skg, "--allow-clear")
    said = skg.cli.fails(7, *words(skg, *shared(skg)), *into(skg))
    assert "came in the clear, and an encrypted one was asked for" in said
    require_nothing(skg, answer.read_bytes(), said)


def require_nothing(lab: Lab, answer: bytes, said: str) -> None:
    """No file was written, and nothing encoded of the answer is in the message."""
    assert not [name for name in ("key.pem", "cert.pem", "cert.pem.unfinished") if (lab.directory / name).exists()]
    lines = [line.strip() for line in answer.decode("latin-1").splitlines()]
    encoded = [line for line in lines if re.fullmatch(r"[A-Za-z0-9+/=]{16,}", line)]
    assert not [line for line in encoded if line[:16] in said]


@pytest.mark.parametrize(
    ("twist", "code"),
    [
        (lambda answer: answer[:-40], 5),
        (lambda answer: answer.split(b"\r\n\r\n", 1)[1][:-40], 7),
        (lambda answer: b"<!doctype html><html>sign in", 7),
        (lambda answer: b"x" * (1024 * 1024 + 1), 7),
        (lambda answer: b"x" * (2 * 1024 * 1024 + 1), 2),
        (lambda answer: b"HTTP/1.1 202 Accepted\r\nRetry-After: 60\r\n\r\n", 8),
        (lambda answer: b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\n\r\n", 7),
        (lambda answer: answer.replace(b" 200 OK", b" 500 Oops", 1).replace(b"multipart/mixed", b"text/plain"), 7),
        (lambda answer: answer.replace(b"multipart/mixed", b"text/plain"), 7),
        (lambda answer: answer.split(b"\r\n\r\n", 1)[1].replace(b"application/pkcs7-mime", b"application/pdf"), 7),
        (lambda answer: answer.split(b"application/pkcs8")[1], 7),
    ],
)
def test_est_166_answers_that_are_none(twist, code: int, skg: Lab, tmp_path: Path) -> None:
    """Truncated, too large, of a portal, pending, refused: a typed error, no file, nothing of the key quoted."""
    answer = carried(skg, "--allow-clear")
    good = answer.read_bytes()
    answer.write_bytes(twist(good))
    said = skg.cli.fails(code, *words(skg, "--allow-clear"), *into(skg))
    require_nothing(skg, good, said)


def test_est_198_tampered_with_on_the_way(skg: Lab, tmp_path: Path) -> None:
    """Every byte of the encrypted key counts; one of every two hundred is tried."""
    answer = carried(skg, *shared(skg))
    good = answer.read_bytes()
    start = good.index(b"\r\n\r\n", good.index(b"\r\n\r\n") + 4) + 4
    for position in range(start + 100, start + 900, 200):
        changed = b"A" if good[position : position + 1] != b"A" else b"B"
        answer.write_bytes(good[:position] + changed + good[position + 1 :])
        done = skg.cli(*words(skg, *shared(skg)), *into(skg))
        assert done.code in (6, 7, 10), done
        require_nothing(skg, good, done.err)


def test_est_198_the_key_of_another_answer(skg: Lab, tmp_path: Path) -> None:
    """The parts of two answers put together: the pair does not fit."""
    first = carried(skg, "--allow-clear", curl=()).read_bytes()
    second = carried(skg, "--allow-clear", curl=()).read_bytes()
    boundary = first.split(b"\r\n", 1)[0]
    assert boundary.startswith(b"--")
    mark, other = boundary, second.split(b"\r\n", 1)[0]
    ours, theirs = first.split(mark), second.split(other)
    (tmp_path / "key.ans").write_bytes(mark.join([ours[0], ours[1], theirs[2], ours[3]]))
    said = skg.cli.fails(7, *words(skg, "--allow-clear"), *into(skg))
    assert "no certificate of the answer is for the private key" in said
    require_nothing(skg, first, said)


def test_est_139_anchors_of_another_ca(skg: Lab, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_bytes(Ca.root("Other").certificate.public_bytes(Encoding.PEM))
    answer = carried(skg, "--allow-clear")
    words_in = (*words(skg, "--allow-clear"), "--offline-in", "key.ans", "--key-out", "key.pem", "--out", "cert.pem")
    said = skg.cli.fails(7, *words_in, "--anchors", "other.pem")
    assert "not usable" in said
    carried(skg, *shared(skg))
    encrypted = (*words(skg, *shared(skg)), *words_in[len(words(skg, "--allow-clear")) :], "--anchors", "other.pem")
    require_nothing(skg, answer.read_bytes(), skg.cli.fails(6, *encrypted))


@pytest.mark.parametrize("form", ["clear", "encrypted", "not valid yet"])
def test_the_answer_to_another_request_is_told_by_its_name(form: str, skg: Lab, tmp_path: Path) -> None:
    """Nothing of the protocol binds an answer to a request: names other than those asked for have to be allowed."""
    protection = ("--allow-clear",) if form == "clear" else shared(skg)
    if form == "not valid yet":
        skg.server.faults.parse("future@serverkeygen")
    carried(skg, *protection)
    for more in (("--subject", "CN=sensor-8"), ("--subject", "CN=sensor-7", "--san", "dns:sensor.example")):
        other = ("est", "serverkeygen", "--url", skg.server.url, *more, *protection)
        assert "not the names that were asked for" in skg.cli.fails(7, *other, *into(skg))
        assert not (tmp_path / "key.pem").exists()
    other = ("est", "serverkeygen", "--url", skg.server.url, "--subject", "CN=sensor-8", *protection)
    done = skg.cli(*other, "--allow-other-name", *into(skg))
    assert done.code == (11 if form == "not valid yet" else 0)
    assert (tmp_path / "key.pem").exists()
    if done.code == 0:
        assert "asked for CN=sensor-8, got CN=sensor-7" in done.err


def test_other_names_over_the_network_are_told(skg: Lab) -> None:
    online = ("est", "serverkeygen", *skg.trust, *skg.login, "--subject", "CN=x", "--allow-clear", "--key-out", "k")
    assert "--allow-other-name goes with --offline-in" in skg.cli.fails(2, *online, "--allow-other-name")


def test_est_202_into_a_token_and_a_taken_name(skg: Lab, token: SoftHsm, tmp_path: Path) -> None:
    """The keystore is opened before anything is carried, and again before the answer is read."""
    carried(skg, *shared(skg), "--key-out", token.uri_of("sensor"))
    done = skg.cli.ok(*words(skg, *shared(skg)), *into(skg, token.uri_of("sensor")), "--json")
    assert done.json["key_uri"].startswith("pkcs11:")
    taken = (*words(skg, *shared(skg)), "--key-out", token.uri_of("sensor"))
    assert "key of this name" in skg.cli.fails(3, *taken, "--offline-out", "again.req")
    assert not (tmp_path / "again.req").exists()
    assert "key of this name" in skg.cli.fails(3, *words(skg, *shared(skg)), *into(skg, token.uri_of("sensor")))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--offline-out", "r"), "protected, one way"),
        (("--offline-in", "r", "--allow-clear"), "say where the private key goes"),
        (("--offline-in", "r", "--allow-clear", "--key-out", "k"), "say whom to trust"),
        (("--offline-in", "r", "--allow-clear", "--key-out", "k", "--implicit"), "--implicit vouches for a connection"),
        (("--offline-in", "r", "--allow-clear", "--key-out", "-"), "standard output"),
        (("--offline-out", "r", "--allow-clear", "--offline-in", "r"), "not allowed with"),
        (("--offline-out", "r", "--allow-clear", "--user", "lab"), "--user is for a connection"),
        (
            ("--offline-out", "r", "--allow-clear", "--tls-cert", "c", "--tls-key", "file:k"),
            "--tls-cert is for a connection",
        ),
        (("--offline-out", "r", "--allow-clear", "--srp-user", "lab"), "--srp-user is for a connection"),
        (("--offline-out", "r", "--allow-clear", "--key-out", "secret"), "replaces nothing"),
        (("--offline-out", "r", "--allow-clear", "--otp-file", "secret"), "--otp-file needs a server"),
        (("--allow-clear",), "say where the private key goes"),
    ],
)
def test_mistakes(more: tuple[str, ...], said: str, skg: Lab, tmp_path: Path) -> None:
    assert said in skg.cli.fails(2, *words(skg, *more))
    assert not (tmp_path / "r").exists()
    assert not skg.server.log()
