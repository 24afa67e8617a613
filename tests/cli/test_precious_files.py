"""No result of a command takes the place of a private key, of a secret the command uses, or of another result (EST-202)."""

from __future__ import annotations

from pathlib import Path

import pytest
from device_sdk_simulators.swtpm import Swtpm

from tests.cli.conftest import Cli, Lab, openssl

pytestmark = pytest.mark.slow


@pytest.fixture
def lab(lab: Lab) -> Lab:
    lab.server.policy.serverkeygen = {"clear"}
    lab.server.policy.fullcmc = True
    return lab


def refused(lab: Lab, victim: Path, why: str, *words: object) -> None:
    """The command fails before anybody is asked, and the file is what it was."""
    before, asked = victim.read_bytes(), len(lab.server.log())
    assert lab.cli.fails(2, *words).startswith(f"device-sdk: {victim} is not written: {why} (")
    assert victim.read_bytes() == before
    assert len(lab.server.log()) == asked


@pytest.mark.parametrize("way", ["--out", "--offline-out", "csr"])
@pytest.mark.parametrize("kind", ["file", "tpm2"])
def test_the_key_of_the_request(lab: Lab, swtpm: Swtpm, kind: str, way: str) -> None:
    """Of a TPM's key the file is the only handle."""
    path = lab.keys / "key.pem"
    uri = f"file:{path}" if kind == "file" else f"tpm2:file={path}?tcti={swtpm.tcti}"
    lab.cli.ok("keys", "create", uri, "--type", "ec-p256")
    words: tuple[object, ...] = ("csr",)
    if way != "csr":
        words = ("est", "enroll", "--url", lab.server.url)
        words += (*lab.login, "--anchors", lab.server.ca_file) if way == "--out" else ()
    flag = "--out" if way == "csr" else way
    refused(lab, path, "it holds a private key", *words, "--key", uri, "--subject", "CN=x", flag, path)


def test_a_file_with_key_and_certificate(lab: Lab, tmp_path: Path) -> None:
    """As --key-out makes it; and a link to it."""
    one, link = tmp_path / "one.pem", tmp_path / "link.pem"
    subject = ("--subject", "CN=combined", "--allow-clear")
    lab.cli.ok("est", "serverkeygen", *lab.trust, *lab.login, *subject, "--key-out", one)
    link.symlink_to(one)
    words = ("est", "reenroll", *lab.trust, "--key", f"file:{one}", "--cert", one, "--same-key", "--allow-imported")
    for place in (one, link):
        refused(lab, one, "it holds a private key", *words, "--out", place)
    lab.cli.ok(*words, "--out", tmp_path / "new.pem")
    lab.cli.ok(*words, "--out", tmp_path / "new.pem")
    assert "OK" in openssl(
        "verify", "-CAfile", lab.server.ca_file, "-untrusted", tmp_path / "new.pem", tmp_path / "new.pem"
    )


@pytest.mark.parametrize("spelling", ["{0}/both.pem", "{0}/./both.pem", "{0}/linked/both.pem"])
def test_one_file_for_the_key_and_its_certificate(lab: Lab, tmp_path: Path, spelling: str) -> None:
    (tmp_path / "linked").symlink_to(tmp_path)
    place = spelling.format(tmp_path)
    words = ("est", "serverkeygen", *lab.trust, *lab.login, "--subject", "CN=x", "--allow-clear")
    said = lab.cli.fails(2, *words, "--out", tmp_path / "both.pem", "--key-out", place)
    assert "it is named for two results of this command" in said
    assert not (tmp_path / "both.pem").exists()
    assert lab.server.log() == []


@pytest.mark.parametrize("flag", ["--out", "--offline-out"])
def test_one_file_for_a_pending_request_and_something_else(lab: Lab, tmp_path: Path, flag: str) -> None:
    (tmp_path / "secret").write_text("secret-secret")
    (tmp_path / "secret").chmod(0o600)
    words = (
        "est",
        "fullcmc",
        "--url",
        lab.server.url,
        "--key",
        lab.key(),
        "--subject",
        "CN=x",
        "--identification",
        "r7",
    )
    words += ("--shared-secret-file", str(tmp_path / "secret"), "--pending", str(tmp_path / "p"))
    words += ("--anchors", str(lab.server.ca_file)) if flag == "--out" else ()
    assert "it is named for two results" in lab.cli.fails(2, *words, flag, tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_the_file_with_the_password(lab: Lab, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_bytes(lab.server.password_file.read_bytes())
    secret.chmod(0o600)
    login = ("--user", str(lab.server.user), "--password-file", str(secret))
    words = ("est", "enroll", *lab.trust, *login, "--key", lab.key(), "--subject", "CN=x", "--out", secret)
    refused(lab, secret, "it holds a secret that this command uses", *words)


def test_the_file_with_the_pin(lab: Lab, tmp_path: Path) -> None:
    """Read before the result is named; a link to it is it."""
    pin, link = tmp_path / "pin", tmp_path / "link"
    pin.write_text("1234-5678")
    pin.chmod(0o600)
    link.symlink_to(pin)
    key = f"file:{lab.keys}/device.pem"
    lab.cli.ok("keys", "create", key, "--type", "ec-p256", "--key-pin-file", pin)
    words = ("csr", "--key", key, "--key-pin-file", pin, "--subject", "CN=x", "--out")
    for place in (pin, link):
        refused(lab, pin, "it holds a secret that this command uses", *words, place)


def test_the_key_where_firmware_goes(lab: Lab, tmp_path: Path) -> None:
    """Text alone is a key; programs may have what keys begin with in them, and the next image goes into that file."""
    path, secret = lab.keys / "key.pem", tmp_path / "secret"
    lab.cli.ok("keys", "create", f"file:{path}", "--type", "ec-p256")
    secret.write_text("00" * 16)
    secret.chmod(0o600)
    words = (
        "est",
        "firmware",
        *lab.trust,
        "--hw-type",
        "1.2",
        "--hw-serial",
        "00",
        "--firmware-anchors",
        lab.server.ca_file,
    )
    refused(lab, path, "it holds a private key", *words, "--out", path)
    opener = ("--decrypt-secret-file", secret, "--decrypt-id", "00")
    refused(lab, secret, "it holds a secret that this command uses", *words, *opener, "--out", secret)
    image = tmp_path / "image"
    image.write_bytes(b"\x7fELF\0" + path.read_bytes())
    assert "is not written" not in lab.cli.fails(7, *words, "--out", image)


def test_what_may_be_replaced(cli: Cli, lab: Lab, tmp_path: Path) -> None:
    """Certificates, requests, and files that only speak of keys."""
    place = tmp_path / "file"
    for before in ("-----BEGIN CERTIFICATE-----\n", "PRIVATE KEY", "-----BEGIN PUBLIC KEY-----\n", ""):
        place.write_text(before)
        cli.ok("csr", "--key", lab.key(f"k{len(before)}"), "--subject", "CN=x", "--out", place)
        assert "CERTIFICATE REQUEST" in place.read_text()
