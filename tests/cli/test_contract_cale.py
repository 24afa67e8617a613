"""`device-sdk cale decrypt --key URI --in FILE --out FILE`, and register, get, whoami against the reference server."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from device_sdk_simulators.cale.binary_http import BINARY_HTTP, write_response
from device_sdk_simulators.cale.ciphers import content_cipher
from device_sdk_simulators.cale.envelope import seal
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from tests.cli.conftest import Cli, Lab, leaf, openssl
from tests.cli.terminal import Terminal
from tests.cms.messages import write_certificate

pytestmark = pytest.mark.slow

VECTORS = Path(__file__).parents[1] / "vectors" / "cale"
PLAIN = b'{"answer": "f\xc3\xbcr dich"}\n' * 9


def _certificate(cli: Cli, key: str, directory: Path) -> Path:
    public = load_pem_public_key(cli.ok("keys", "show", key, "--json").json["public_key"].encode())
    return write_certificate(directory, public)  # type: ignore[arg-type]  # it is EC or RSA


def _message(certificate: Path, form: str, *options: str, plain: bytes = PLAIN) -> bytes:
    kind = "PEM" if form == "PEM" else "DER"
    done = subprocess.run(
        ["openssl", "cms", "-encrypt", "-binary", "-aes-256-cbc", *options, "-outform", kind, certificate],
        input=plain, capture_output=True, check=True,
    ).stdout  # fmt: skip
    forms = {
        "base64": base64.b64encode,
        "wrapped": base64.encodebytes,
        "smime": lambda data: b"\r\n" + base64.encodebytes(data),
    }
    return forms.get(form, bytes)(done)


@pytest.fixture
def draft_key(tmp_path: Path) -> str:
    """The draft's key (appendix B.1) as PKCS#8."""
    openssl("pkcs8", "-topk8", "-nocrypt", "-in", VECTORS / "privkey.enc.pem", "-passin", "pass:password",
            "-out", tmp_path / "draft.pem")  # fmt: skip
    (tmp_path / "draft.pem").chmod(0o600)
    return f"file:{tmp_path}/draft.pem"


@pytest.mark.parametrize("form", ["b64", "der"])
@pytest.mark.parametrize(
    ("name", "plain"),
    [("enveloped-b1.3", "enveloped-b1.3.plain.txt"), ("enveloped-b2.7", "enveloped-b2.7.plain.json"),
     ("enveloped-b3.3", "enveloped-b3.3.plain.cert.pem")],
)  # fmt: skip
def test_the_drafts_three_envelopes(name: str, plain: str, form: str, cli: Cli, draft_key: str, tmp_path: Path) -> None:
    cli.ok("cale", "decrypt", "--key", draft_key, "--in", VECTORS / f"{name}.{form}", "--out", tmp_path / "plain")
    assert (tmp_path / "plain").read_bytes() == (VECTORS / plain).read_bytes()


def test_the_filling_of_an_answer_is_not_shown_at_a_terminal_cale_37(cli: Cli, draft_key: str, tmp_path: Path) -> None:
    """Two hundred empty lines; anywhere else the bytes are what arrived."""
    filled = b"one\n\ntwo" + b"\n" * 248
    (tmp_path / "filled").write_bytes(_message(_certificate(cli, draft_key, tmp_path), "DER", plain=filled))
    words = ("cale", "decrypt", "--key", draft_key, "--in", tmp_path / "filled")
    assert cli.run(*words).stdout == filled
    terminal = Terminal(cli, *words)
    try:
        assert terminal.end() == 0
        assert terminal.seen == "one\r\n\r\ntwo\r\n"
    finally:
        terminal.close()


@pytest.mark.parametrize("form", ["b64", "bin"])
def test_the_drafts_decoy_is_refused(form: str, cli: Cli, draft_key: str, tmp_path: Path) -> None:
    words = (
        "cale",
        "decrypt",
        "--key",
        draft_key,
        "--in",
        VECTORS / f"decoy-b2.3c.{form}",
        "--out",
        tmp_path / "plain",
    )
    assert "not an encrypted message for this key" in cli.fails(10, *words)
    assert not (tmp_path / "plain").exists()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["PEM", "DER", "base64", "wrapped", "smime"])
def test_every_form_of_openssls_messages(form: str, cli: Cli, tmp_path: Path) -> None:
    key = f"file:{tmp_path}/key.pem"
    cli.ok("keys", "create", key, "--type", "rsa-2048")
    message = tmp_path / "message"
    message.write_bytes(_message(_certificate(cli, key, tmp_path), form))
    done = cli.ok("cale", "decrypt", "--key", key, "--in", message, "--out", tmp_path / "plain")
    assert (done.out, done.err) == ("", "")
    assert (tmp_path / "plain").read_bytes() == PLAIN
    assert (tmp_path / "plain").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256"])
@pytest.mark.parametrize("store", ["pkcs11", "tpm2"])
def test_decrypted_in_hardware(store: str, kind: str, cli: Cli, token: SoftHsm, swtpm: Swtpm, tmp_path: Path) -> None:
    key = {"pkcs11": token.uri_of("key"), "tpm2": f"tpm2:file={tmp_path}/key.pem"}[store]
    cli.ok("keys", "create", key, "--type", kind)
    message = tmp_path / "message"
    message.write_bytes(_message(_certificate(cli, key, tmp_path), "DER"))
    data = cli.ok("cale", "decrypt", "--key", key, "--in", message, "--out", tmp_path / "plain", "--json").json
    assert data == {"file": str(tmp_path / "plain"), "size_bytes": len(PLAIN)}
    assert (tmp_path / "plain").read_bytes() == PLAIN


@pytest.mark.parametrize("damage", ["another key", "cut", "empty", "noise", "text", "flipped"])
def test_failure_writes_nothing_and_leaves_a_file_as_it_was(damage: str, cli: Cli, tmp_path: Path) -> None:
    key, other = f"file:{tmp_path}/key.pem", f"file:{tmp_path}/other.pem"
    for uri in (key, other):
        cli.ok("keys", "create", uri, "--type", "rsa-2048")
    good = _message(_certificate(cli, key, tmp_path), "DER")
    message = tmp_path / "message"
    # the flipped byte is in the encrypted content key, so that every outcome but an error would be an oracle
    flipped = bytes(byte ^ (index == 200) for index, byte in enumerate(good))
    bad = {"cut": good[:-20], "empty": b"", "noise": bytes(range(256)) * 4, "text": b"hello\n", "flipped": flipped}
    message.write_bytes(bad.get(damage, good))
    words = ("cale", "decrypt", "--key", other if damage == "another key" else key, "--in", message, "--expect", "json")
    before = sorted(path.name for path in tmp_path.iterdir())
    said = cli.fails(10, *words, "--out", tmp_path / "plain")
    assert "cannot be opened" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    (tmp_path / "old").write_text("what was there")
    stamp = (tmp_path / "old").stat()
    cli.fails(10, *words, "--out", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "what was there"
    assert (tmp_path / "old").stat().st_ino == stamp.st_ino


@pytest.mark.slow
def test_decrypt_expects_what_it_is_told(cli: Cli, tmp_path: Path) -> None:
    """CALE-09, CALE-10: with AES-CBC only the content shows that an answer was altered; how it does so, nobody is told."""
    key = f"file:{tmp_path}/key.pem"
    cli.ok("keys", "create", key, "--type", "rsa-2048")
    certificate, message = _certificate(cli, key, tmp_path), tmp_path / "message"
    words = ("cale", "decrypt", "--key", key, "--in", message, "--out", tmp_path / "plain", "--expect")
    told = set()
    for plain in (b"\xff\xfe no JSON", b"[" * 200_000, b"", b"1" * 5000):
        message.write_bytes(_message(certificate, "DER", plain=plain))
        told.add(cli.fails(10, *words, "json"))
    message.write_bytes(_message(certificate, "DER", plain=b"\xff\xfe"))
    told.add(cli.fails(10, *words, "text"))
    message.write_bytes(message.read_bytes()[:-16])  # what is the last block now ends in no padding
    told.add(cli.fails(10, *words, "json"))
    message.write_bytes(b"no message")
    told.add(cli.fails(10, *words, "json"))
    assert len(told) == 1, told
    assert not (tmp_path / "plain").exists()
    message.write_bytes(_message(certificate, "DER", plain=b"\xff\xfe no JSON"))
    cli.ok(*words[:-1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("decrypt", "--in", "x", "--out", "y"), "cale.key is not set"),
        (("decrypt", "--key", "file:x", "--out", "x"), "--in"),
        (("decrypt", "--key", "file:x", "--in", "/nonexistent", "--out", "x"), "No such file"),
        (("register", "--url", "https://localhost"), "no key to register"),
        (("get", "/resource"), "cale register"),
        (("whoami", "--application", "../x"), "cannot name"),
        (("get",), "PATH"),
    ],
)
def test_mistakes(words: tuple[str, ...], said: str, cli: Cli, tmp_path: Path) -> None:
    assert said in cli.fails(2, "cale", *words, env={"DEVICE_SDK_STATE_DIR": str(tmp_path / "state")})


@pytest.mark.parametrize("store", ["pkcs11", "tpm2", "file"])
def test_register_get_whoami(store: str, lab: Lab, token: SoftHsm, swtpm: Swtpm, tmp_path: Path) -> None:
    key = {
        "pkcs11": token.uri_of("cale"),
        "tpm2": f"tpm2:file={tmp_path}/cale.pem",
        "file": f"file:{tmp_path}/cale.pem",
    }[store]
    lab.cli.ok("keys", "create", key, "--type", "rsa-2048")
    state = ("--state", lab.state, "--anchors", lab.server.ca_file)
    registered = lab.cli.ok(
        "cale",
        "register",
        *state,
        "--url",
        lab.server.cale_url,
        "--key",
        key,
        *lab.login,
        "--subject",
        "CN=router-7",
        "--json",
    ).json
    assert len(registered["guid"]) == 36
    assert registered["registered_at"].endswith("Z")
    assert lab.cli.run("cale", "get", "/resource", *state).stdout == b'{"foo": "bar"}\n'
    data = lab.cli.ok("cale", "get", "/resource", *state, "--expect", "json", "--json").json
    assert (data["media_type"], data["headers"]) == ("application/json", {"content-type": "application/json"})
    assert json.loads(data["text"]) == json.loads(base64.b64decode(data["base64"])) == {"foo": "bar"}
    lab.cli.ok("cale", "get", "/resource", *state, "--out", tmp_path / "answer")
    assert (tmp_path / "answer").read_bytes() == b'{"foo": "bar"}\n'
    assert (tmp_path / "answer").stat().st_mode & 0o777 == 0o600
    lab.cli.ok("cale", "whoami", *state, "--out", tmp_path / "me.pem")
    public = load_pem_public_key(lab.cli.ok("keys", "show", key, "--json").json["public_key"].encode())
    assert leaf(tmp_path / "me.pem").public_key() == public
    assert x509.load_pem_x509_certificate(lab.cli.ok("cale", "whoami", *state).out.encode()).public_key() == public


@pytest.mark.slow
def test_enrolled_device_needs_neither_anchors_nor_password(lab: Lab) -> None:
    """Its state has the anchors, its certificate says who it is."""
    lab.enrolled()
    key = lab.key("cale", "rsa-2048")
    lab.cli.ok(
        "cale", "register", "--state", lab.state, "--url", lab.server.cale_url, "--key", key, "--application", "second"
    )
    entry = next(entry for entry in lab.server.log() if entry["operation"] == "registration")
    assert entry["client_subject"] == "CN=router-7"
    assert (
        lab.cli.ok("cale", "get", "/resource", "--state", lab.state, "--application", "second").out
        == '{"foo": "bar"}\n'
    )
    assert "no CALE registration named 'default'" in lab.cli.fails(2, "cale", "get", "/resource", "--state", lab.state)
    assert list(lab.cli.ok("show", "--state", lab.state, "--json").json["cale"]) == ["second"]


@pytest.mark.slow
def test_revoked_registration_is_a_decoy(lab: Lab, tmp_path: Path) -> None:
    lab.enrolled()
    key = lab.key("cale", "rsa-2048")
    state = ("--state", lab.state)
    guid = lab.cli.ok("cale", "register", *state, "--url", lab.server.cale_url, "--key", key, "--json").json["guid"]
    subprocess.run(["device-sdk-sim", "revoke", guid, "--state", lab.server.state], check=True)
    said = lab.cli.fails(10, "cale", "get", "/resource", *state, "--expect", "json", "--out", tmp_path / "answer")
    assert "revoked or unknown" in said
    assert not (tmp_path / "answer").exists()


@pytest.mark.slow
def test_an_error_behind_the_edge_is_not_data(lab: Lab, tmp_path: Path) -> None:
    """CALE-05: it arrives encrypted in a success; exit 7, and the file is what it was. Bare content, as in the draft."""
    state = ("--state", lab.state, "--anchors", lab.server.ca_file)
    words = ("--url", lab.server.cale_url, "--subject", "CN=x", "--key", lab.key("cale"), "--no-negotiate")
    lab.cli.ok("cale", "register", *state, *words, *lab.login)
    keep = tmp_path / "keep.json"
    keep.write_text("what was there")
    get = ("cale", "get", *state, "--expect", "json", "--out", keep, "/nothing")
    assert "the server behind the edge device answered 404" in lab.cli.fails(7, *get)
    error = lab.cli(*get, "--json").error
    assert (error["code"], error["status_code"]) == ("behind-edge", 404)
    assert keep.read_text() == "what was there"
    lab.cli.ok(*get, "--no-encrypted-errors")
    assert json.loads(keep.read_text()) == {"error": 404}


def test_decrypted_to_standard_output(cli: Cli, tmp_path: Path) -> None:
    key = f"file:{tmp_path}/key.pem"
    cli.ok("keys", "create", key, "--type", "rsa-2048")
    (tmp_path / "message").write_bytes(_message(_certificate(cli, key, tmp_path), "DER"))
    words = ("cale", "decrypt", "--key", key, "--in", tmp_path / "message")
    assert cli.run(*words).stdout == PLAIN
    data = cli.ok(*words, "--json").json
    assert (data["text"].encode(), data["size_bytes"], data["file"]) == (PLAIN, len(PLAIN), None)
    (tmp_path / "message").write_bytes(b"noise")
    assert cli.run(*words).stdout == b""


@pytest.mark.parametrize(("status", "code"), [(200, 0), (206, 0), (302, 7), (404, 7), (502, 7)])
def test_decrypting_a_response_with_an_error_says_so(status: int, code: int, cli: Cli, tmp_path: Path) -> None:
    """What is in it is written all the same; who looks at the exit code does not take it for the document."""
    key, plain = f"file:{tmp_path}/key.pem", tmp_path / "plain"
    cli.ok("keys", "create", key, "--type", "ec-p256")
    fields = [("Content-Type", "text/plain"), ("ETag", '"1"')]
    cipher = content_cipher("TLS_AES_256_GCM_SHA384", aead=True, allowed=("TLS_AES_256_GCM_SHA384",))
    certificate = x509.load_pem_x509_certificate(_certificate(cli, key, tmp_path).read_bytes())
    response = write_response(status, fields, PLAIN, 256)
    message = seal(response, certificate, cipher, hardened=False, content_type=BINARY_HTTP)
    (tmp_path / "message").write_bytes(message)
    words = ("cale", "decrypt", "--key", key, "--in", tmp_path / "message")
    done = cli.run(*words)
    assert (done.returncode, done.stdout) == (code, PLAIN)
    assert (b"answered %d" % status in done.stderr) is (code != 0)
    assert cli.run(*words, "--out", plain).returncode == code
    assert plain.read_bytes() == PLAIN
    data = json.loads(cli.run(*words, "--json").stdout)
    assert (data["text"].encode(), data["status"], data["media_type"], data["headers"]["etag"]) == (
        PLAIN, status, "text/plain", '"1"',
    )  # fmt: skip
    assert ("error" in data) is (code != 0)


def test_an_answer_that_is_larger_than_we_take(lab: Lab, tmp_path: Path) -> None:
    """No matter of the network: coming back later gives the same."""
    state = ("--state", lab.state, "--anchors", lab.server.ca_file)
    words = ("--url", lab.server.cale_url, "--subject", "CN=x", "--key", lab.key("cale"))
    registered = lab.cli.ok("cale", "register", *state, *words, *lab.login, "--json").json
    get = ("cale", "get", *state, "/resource")
    assert "--max-bytes N allows more" in lab.cli.fails(7, *get, "--max-bytes", 100)
    listed = lab.cli.ok("cale", "list", "--state", lab.state, "--json").json["registrations"]["default"]
    assert listed["registered_at"] == registered["registered_at"], "whole seconds in both"
    line = lab.cli.fails(2, *get, "--out", "/dev/full")
    assert line == "device-sdk: cannot write /dev/full: No space left on device (make some room, or write elsewhere)"


@pytest.mark.slow
def test_refused_password_leaves_no_registration(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong")
    words = ("cale", "register", "--state", lab.state, "--anchors", lab.server.ca_file, "--url", lab.server.cale_url, "--subject", "CN=x",
             "--key", lab.key("cale", "rsa-2048"))  # fmt: skip
    assert "refused" in lab.cli.fails(7, *words, "--user", "device", "--password-file", tmp_path / "wrong")
    assert "proof of identity" in lab.cli.fails(7, *words)
    assert list(lab.state.glob("cale/**/*.json")) == []
