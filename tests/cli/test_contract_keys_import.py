"""`device-sdk keys import --key URI --in FILE`, and --allow-imported wherever a key is opened (EST-202)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from tests.cli.conftest import Cli, Lab, openssl
from tests.cli.test_secrets import _at_terminal, _descriptor
from tests.keystores.foreign_keys import pkcs8, public_pem

pytestmark = pytest.mark.slow

WARNING = "device-sdk: warning: this key existed outside of its keystore"
PASSPHRASE = "open sesame"


@pytest.fixture(params=["pkcs11", "tpm2", "file"])
def uri(request: pytest.FixtureRequest, token: SoftHsm, swtpm: Swtpm, tmp_path: Path) -> str:
    places = {"pkcs11": token.uri_of("key"), "tpm2": "tpm2:handle=0x81000010", "file": f"file:{tmp_path}/key.pem"}
    return places[request.param]


def _file(directory: Path, kind: str = "ec-p256", form: str = "PEM", *, passphrase: str | None = None) -> Path:
    path = directory / f"{kind}.{form}"
    secure = ("-v2", "aes256", "-passout", f"pass:{passphrase}") if passphrase else ("-nocrypt",)
    openssl("pkcs8", "-topk8", "-inform", "DER", "-outform", form, "-out", path, *secure, data=pkcs8(kind))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_import_prints_the_uri_and_warns(cli: Cli, uri: str, tmp_path: Path, form: str) -> None:
    done = cli.ok("keys", "import", "--key", uri, "--in", _file(tmp_path, form=form))
    assert done.err.startswith(WARNING)
    assert done.err.count("\n") == 1
    named = done.out.removesuffix("\n")
    shown = cli.ok("keys", "show", named, "--allow-imported", "--json").json
    assert (shown["uri"], shown["public_key"]) == (named, public_pem(pkcs8("ec-p256")))
    assert shown["imported"] is not uri.startswith("file:")
    (listed,) = cli.ok("keys", "list", uri, "--json").json["keys"]
    assert listed["imported"] is not uri.startswith("file:")
    assert ("hardware, imported" in cli.ok("keys", "list", uri).out) is not uri.startswith("file:")


@pytest.mark.slow
def test_json_and_a_name_that_is_taken(cli: Cli, uri: str, tmp_path: Path) -> None:
    words = ("keys", "import", "--key", uri, "--in", _file(tmp_path))
    first = cli.ok(*words, "--json").json
    assert (first["key_type"], first["public_key"]) == ("ec-p256", public_pem(pkcs8("ec-p256")))
    assert "--reuse" in cli.fails(3, *words)
    assert cli.ok(*words, "--reuse", "--json").json == first
    other = cli(*words[:-1], _file(tmp_path, "rsa-2048"), "--reuse", "--json")
    assert (other.code, other.error["code"]) == (3, "key-exists")


@pytest.mark.slow
def test_opening_needs_the_word(cli: Cli, token: SoftHsm, tmp_path: Path) -> None:
    """Off by default for every command; by flag, environment and configuration, and the flag wins."""
    uri = token.uri_of("key")
    cli.ok("keys", "import", "--key", uri, "--in", _file(tmp_path))
    csr = ("csr", "--key", uri, "--subject", "CN=x")
    for words in (("keys", "show", uri), csr):
        assert "--allow-imported" in cli.fails(3, *words)
        cli.ok(*words, "--allow-imported")
    assert "verify OK" in openssl("req", "-verify", "-noout", data=cli.ok(*csr, "--allow-imported").out.encode())
    cli.ok(*csr, env={"DEVICE_SDK_KEY_ALLOW_IMPORTED": "yes"})
    (tmp_path / "config.toml").write_text("[key]\nallow_imported = true\n")
    cli.ok(*csr)
    cli.fails(3, *csr, "--no-allow-imported")


def test_est_and_device_with_an_imported_key(lab: Lab, token: SoftHsm, tmp_path: Path) -> None:
    """Enrolment, TLS with it, the doctor, and a renewal: refused until it is allowed, state and key as they were."""
    uri, out = token.uri_of("key"), tmp_path / "cert.pem"
    lab.cli.ok("keys", "import", "--key", uri, "--in", _file(tmp_path))
    est = (*lab.trust, "--key", uri, "--out", out)
    assert "--allow-imported" in lab.cli.fails(3, "est", "enroll", *est, *lab.login, "--subject", "CN=x")
    lab.cli.ok("est", "enroll", *est, *lab.login, "--subject", "CN=x", "--allow-imported")
    assert "--allow-imported" in lab.cli.fails(3, "est", "reenroll", "--same-key", *est, "--cert", out)
    lab.cli.ok("est", "reenroll", "--same-key", *est, "--cert", out, "--allow-imported")

    enroll = lab.enroll_words(uri, "--reuse")
    assert "--allow-imported" in lab.cli.fails(3, *enroll)
    lab.cli.ok(*enroll, "--allow-imported")
    assert _doctor(lab.cli, lab.state)["status"] == "failed"
    found = _doctor(lab.cli, lab.state, "--allow-imported")
    assert (found["status"], "made outside" in found["detail"]) == ("warning", True)
    assert "--allow-imported" in lab.cli.fails(3, "renew", "--state", lab.state)
    lab.cli.ok("renew", "--state", lab.state, "--allow-imported", "--keep-old")
    (born,) = [key for key in lab.cli.ok("keys", "list", token.uri, "--json").json["keys"] if not key["imported"]]
    assert born["label"] != "key"


def _doctor(cli: Cli, state: Path, *words: str) -> Any:
    found = cli("doctor", "--state", state, "--json", *words).json["checks"]
    return next(check for check in found if check["check"] == "key")


def test_passphrase_by_every_way(cli: Cli, tmp_path: Path) -> None:
    """File, environment, descriptor, prompt; as with PINs, and never as an argument."""
    (tmp_path / "pass").write_text(PASSPHRASE + "\n")
    (tmp_path / "pass").chmod(0o600)
    words = ("keys", "import", "--reuse", "--key", f"file:{tmp_path}/key.pem", "--in")
    for form in ("PEM", "DER"):
        file = _file(tmp_path, form=form, passphrase=PASSPHRASE)
        assert "is encrypted" in cli.fails(4, *words, file)
        assert "passphrase is wrong" in cli.fails(4, *words, file, env={"DEVICE_SDK_IMPORT_PASSPHRASE": "wrong"})
        assert not (tmp_path / "key.pem").exists()
        cli.ok(*words, file, env={"DEVICE_SDK_IMPORT_PASSPHRASE": PASSPHRASE})
        cli.ok(*words, file, "--passphrase-file", tmp_path / "pass", env={"DEVICE_SDK_IMPORT_PASSPHRASE": "wrong"})
        read = _descriptor(PASSPHRASE)
        cli.ok(*words, file, "--passphrase-fd", read, pass_fds=(read,))
        code, screen = _at_terminal(cli, [PASSPHRASE], *words, file)
        assert (code, "Passphrase of" in screen, PASSPHRASE in screen) == (0, True, False)
        (tmp_path / "key.pem").unlink()
    assert cli.ok(*words, _file(tmp_path)).err.startswith(WARNING)


BAD = {
    "empty": b"",
    "rubbish": b"rubbish",
    "DER rubbish": b"\x30\x03\x02\x01\x00",
    "a certificate": b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    "SEC 1": b"-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n",
    "two keys": b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n" * 2,
    "bad base64": b"-----BEGIN PRIVATE KEY-----\nMAA=A\n-----END PRIVATE KEY-----\n",
    "cut": b"-----BEGIN PRIVATE KEY-----\nMAA=\n",
    "encrypted rubbish": b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
    "large": b"\x30" * (1 << 17),
}


@pytest.mark.parametrize("what", BAD)
def test_files_that_are_no_private_key(cli: Cli, tmp_path: Path, what: str) -> None:
    (tmp_path / "in").write_bytes(BAD[what])
    environment = {"DEVICE_SDK_IMPORT_PASSPHRASE": "x"}
    done = cli("keys", "import", "--key", f"file:{tmp_path}/key.pem", "--in", tmp_path / "in", env=environment)
    assert (done.code, done.out) == ({"DER rubbish": 3, "encrypted rubbish": 4}.get(what, 2), ""), done.err
    assert str(tmp_path / "in") in done.err or "to import" in done.err
    assert not (tmp_path / "key.pem").exists()


def test_words_that_are_missing(cli: Cli, tmp_path: Path) -> None:
    assert "key.uri is not set" in cli.fails(2, "keys", "import", "--in", _file(tmp_path))
    assert cli("keys", "import", "--key", f"file:{tmp_path}/key.pem").code == 2
    assert "cannot read" in cli.fails(2, "keys", "import", "--key", f"file:{tmp_path}/k", "--in", tmp_path / "none")
    assert "names no single key" in cli.fails(2, "keys", "import", "--key", "tpm2:", "--in", _file(tmp_path))
