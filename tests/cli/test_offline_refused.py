"""By file no connection shows who answered: what is taken for an answer, and whose file says what was asked."""

from __future__ import annotations

import base64
import fcntl
import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from device_sdk.cli.files import OutputFile
from device_sdk.cli.own_file import own_file
from device_sdk.errors import ConfigurationError
from tests.cli.carrying import anchors, carry, login
from tests.cli.conftest import Lab, leaf
from tests.est.pki import Ca

NOBODY = 65534
SECRET = "sixteen or more characters"


@pytest.fixture
def cmc(lab: Lab) -> Lab:
    lab.server.policy.fullcmc = True
    lab.server.est.full_cmc.store.add_secret("router-7", SECRET.encode())
    (lab.directory / "secret").write_text(SECRET)
    (lab.directory / "secret").chmod(0o600)
    return lab


def words(lab: Lab, key: str, *more: object) -> tuple[object, ...]:
    return "est", "fullcmc", "--url", lab.server.url, "--key", key, "--pending", "kept", *more


def asked(lab: Lab, key: str, *more: object) -> tuple[object, ...]:
    proof = ("--shared-secret-file", "secret", "--identification", "router-7", *more)
    return words(lab, key, "--subject", "CN=router-7", *proof, "--offline-out", "cmc.req")


def certificates_only(path: Path) -> bytes:
    return base64.encodebytes(pkcs7.serialize_certificates([leaf(path)], Encoding.DER))


@pytest.mark.slow
def test_est_206_an_old_certificate_is_no_answer(cmc: Lab, tmp_path: Path) -> None:
    """Of another name, and revoked perhaps; the transaction is kept, and the genuine answer read."""
    key = cmc.key()
    cmc.cli.ok("est", "enroll", *cmc.trust, *cmc.login, "--key", key, "--subject", "CN=old", "--out", "old.pem")
    back = ("--offline-in", "cmc.ans", "--anchors", anchors(cmc), "--out", "device.pem")
    for more in ((), ("--cert", "old.pem")):
        cmc.cli.ok(*(words(cmc, key, *more, "--offline-out", "cmc.req") if more else asked(cmc, key)))
        carry(cmc, tmp_path / "cmc.req", tmp_path / "cmc.ans", "-i")
        genuine, kept = (tmp_path / "cmc.ans").read_bytes(), (tmp_path / "kept").read_bytes()
        (tmp_path / "cmc.ans").write_bytes(certificates_only(tmp_path / "old.pem"))
        assert "nobody signed it" in cmc.cli.fails(6, *words(cmc, key), *back)
        assert not (tmp_path / "device.pem").exists()
        assert (tmp_path / "kept").read_bytes() == kept
        (tmp_path / "cmc.ans").write_bytes(genuine)
        cmc.cli.ok(*words(cmc, key), *back)
        assert leaf(tmp_path / "device.pem") != leaf(tmp_path / "old.pem")
        assert not (tmp_path / "kept").exists()
        (tmp_path / "device.pem").unlink()


@pytest.mark.slow
def test_a_pending_file_of_another_user_is_not_believed(cmc: Lab, tmp_path: Path) -> None:
    """It says what our key signs, and which answer is taken; online as by file."""
    if os.geteuid() != 0:
        pytest.fail("this test needs root, as CI has it")
    key = cmc.key()
    cmc.cli.ok(*asked(cmc, key))
    (tmp_path / "cmc.req").unlink()
    os.chown(tmp_path / "kept", NOBODY, NOBODY)
    back = ("--offline-in", "cmc.ans", "--anchors", anchors(cmc))
    (tmp_path / "cmc.ans").write_bytes(b"x")
    for run in (asked(cmc, key), words(cmc, key, *back), ("est", "fullcmc", *cmc.trust, *words(cmc, key)[4:])):
        assert "kept: it belongs to another user" in cmc.cli.fails(2, *run)
    assert not (tmp_path / "cmc.req").exists()


@pytest.mark.slow
def test_two_runs_with_one_pending_file(cmc: Lab, tmp_path: Path) -> None:
    """One of them goes on: the answer to the other's request could not be read."""
    key = cmc.key()
    cmc.cli.ok(*asked(cmc, key))
    (tmp_path / "cmc.req").unlink()
    with (tmp_path / "kept").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "another run is using kept" in cmc.cli.fails(2, *asked(cmc, key))
    assert not (tmp_path / "cmc.req").exists()
    cmc.cli.ok(*asked(cmc, key))


RIVAL = """
import os
link = os.link

def second(*args, **kwargs):
    os.link = link
    with open(os.environ["RIVAL"], "x") as file:
        file.write("another run's")
    return link(*args, **kwargs)

os.link = second
"""


@pytest.mark.slow
def test_two_runs_that_begin_at_once(cmc: Lab, tmp_path: Path) -> None:
    """The file of the quicker one stays, and the other writes no request."""
    said = cmc.cli.fails(2, *asked(cmc, cmc.key()), before=RIVAL, env={"RIVAL": str(tmp_path / "kept")})
    assert "another run made it meanwhile" in said
    assert (tmp_path / "kept").read_text() == "another run's"
    assert not (tmp_path / "cmc.req").exists()


def test_a_file_that_was_replaced_while_it_was_waited_for(tmp_path: Path) -> None:
    """The lock is one of the file: of the one that is there."""
    kept = tmp_path / "kept"
    kept.write_bytes(b"first")
    with own_file(str(kept), limit_bytes=100) as content:
        assert content == b"first"
        with OutputFile(str(kept)) as file:
            file.write(b"second")
    with own_file(str(kept), limit_bytes=6) as content:
        assert content == b"second"
    with pytest.raises(ConfigurationError, match="larger than 5"), own_file(str(kept), limit_bytes=5):
        pass
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="not a regular"), own_file(str(tmp_path / "pipe"), limit_bytes=5):
        pass


@pytest.mark.slow
def test_the_secret_of_a_revocation_is_not_printed(cmc: Lab, tmp_path: Path) -> None:
    """It travels in the message: that is in its file alone."""
    key = cmc.key()
    cmc.cli.ok("est", "enroll", *cmc.trust, *cmc.login, "--key", key, "--subject", "CN=router-7", "--out", "old.pem")
    proof = ("--shared-secret-file", "secret", "--identification", "router-7", "--pending", "kept", "--json")
    revoke = ("est", "fullcmc", "--url", cmc.server.url, "--revoke", "old.pem", *proof, "--offline-out", "cmc.req")
    for _ in range(2):
        data = cmc.cli.ok(*revoke).json
        assert "body" not in data["request"]
        assert SECRET.encode() in base64.b64decode(json.loads((tmp_path / "cmc.req").read_text())["body"])


@pytest.mark.slow
def test_est_45_cacerts_of_another_ca(lab: Lab, tmp_path: Path) -> None:
    """Nothing in the answer has to do with the anchors: what would be written is what was there."""
    (tmp_path / "other.pem").write_bytes(Ca.root("Other").certificate.public_bytes(Encoding.PEM))
    (tmp_path / "a").write_bytes(certificates_only(tmp_path / "other.pem"))
    read = ("est", "cacerts", *lab.trust, "--offline-in", "a", "--out", "new.pem")
    said = lab.cli.fails(6, *read)
    assert "leads to one: CN=Other" in said
    assert not (tmp_path / "new.pem").exists()


@pytest.mark.slow
def test_a_pipe_nobody_writes_to_is_not_waited_for(lab: Lab, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "the saved answer is empty" in lab.cli.fails(7, "est", "cacerts", *lab.trust, "--offline-in", "pipe")


@pytest.mark.slow
def test_standard_output_and_input_have_a_name(lab: Lab, tmp_path: Path) -> None:
    words = ("est", "cacerts", "--url", lab.server.url)
    assert "give /dev/stdin" in lab.cli.fails(2, *words, "--anchors", lab.server.ca_file, "--offline-in", "-")
    assert "give /dev/stdout" in lab.cli.fails(2, *words, "--offline-out", "-")
    assert not (tmp_path / "-").exists()
    read = ("--anchors", lab.server.ca_file, "--offline-in", "/dev/stdin")
    done = lab.cli.run(*words, *read, input=certificates_only(Path(lab.server.ca_file)))
    assert (done.returncode, b"BEGIN CERTIFICATE" in done.stdout) == (0, True), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["cacerts", "csrattrs", "enroll", "fullcmc"])
def test_a_401_is_up_to_the_carrier(operation: str, cmc: Lab, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\n\r\n")
    trust = () if operation == "csrattrs" else ("--anchors", str(cmc.server.ca_file))
    what: tuple[object, ...] = ()
    if operation in ("enroll", "fullcmc"):
        key = cmc.key()
        what = ("--key", key, "--subject", "CN=router-7")
    if operation == "fullcmc":
        cmc.cli.ok(*asked(cmc, key))
        what = ("--key", key, "--pending", "kept")
    line = cmc.cli.fails(7, "est", operation, "--url", cmc.server.url, *trust, *what, "--offline-in", "a")
    assert "(curl -u)" in line
    assert "--cert" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "wanted"),
    [("require_otp", "a one-time password"), ("require_revocation_challenge", "a revocation password")],
)
def test_est_104_a_password_cannot_go_into_a_file(policy: str, wanted: str, cmc: Lab, tmp_path: Path) -> None:
    """The server lists it: the request without is refused there, so none is written."""
    setattr(cmc.server.policy, policy, True)
    cmc.cli.ok("est", "csrattrs", "--url", cmc.server.url, "--offline-out", "attrs.req")
    carry(cmc, tmp_path / "attrs.req", tmp_path / "attrs.ans", "-i", *login(cmc))
    key = cmc.key()
    enrol = ("est", "enroll", "--url", cmc.server.url, "--key", key, "--subject", "CN=x", "--offline-out", "cmc.req")
    keyless = ("est", "serverkeygen", "--url", cmc.server.url, "--subject", "CN=x", "--allow-clear")
    environment = {"DEVICE_SDK_OTP": "one time", "DEVICE_SDK_REVOCATION_PASSWORD": "another time"}
    for run in (enrol, asked(cmc, key), (*keyless, "--offline-out", "cmc.req")):
        said = cmc.cli.fails(2, *run, "--csrattrs", "attrs.ans", env=environment)
        assert f"the server wants {wanted} in the request, and no password goes into a file" in said
        assert "-file" not in said
    assert not (tmp_path / "cmc.req").exists()
    assert not (tmp_path / "kept").exists()
