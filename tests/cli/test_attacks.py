"""What another user of the machine, or a careless script, could turn the command line into."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from device_sdk_simulators.est import register

from device_sdk.cli.files import OutputFile, write_file
from device_sdk.cli.secrets import pin_provider
from device_sdk.cli.settings import Settings
from device_sdk.errors import ConfigurationError
from tests.cli.conftest import Cli, Lab

NOBODY = 65534


@pytest.mark.parametrize(
    "words",
    [
        ("keys", "list", "pkcs11:token=x?pin-value=S3cret"),
        ("keys", "create", "pkcs11:object=x?module-path=/m.so&PIN-VALUE=S3cret", "--type", "ec-p256"),
        ("csr", "--key", "pkcs11:token=x?pin-value=S3cret", "--subject", "CN=x"),
        ("est", "cacerts", "--url", "https://lab:S3cret@localhost/", "--implicit"),
        ("est", "cacerts", "--url", "https://localhost", "--implicit", "--proxy", "http://lab:S3cret@localhost:1"),
        ("est", "cacerts", "--url", "https://localhost", "--implicit", "--proxy", "lab:S3cret@localhost:1"),
        ("renew", "--new-key", "pkcs11:token=x?pin-value=S3cret"),
    ],
)
def test_secrets_in_arguments_are_refused_and_not_repeated(cli: Cli, words: tuple[str, ...]) -> None:
    said = cli.fails(2, *words)
    assert "argument" in said
    assert "S3cret" not in said


def test_config_shows_no_secret(cli: Cli) -> None:
    environment = {
        "DEVICE_SDK_KEY_URI": "pkcs11:token=x?pin-value=S3cret",
        "DEVICE_SDK_EST_PROXY": "http://lab:S3cret@localhost:1",
    }
    for words in (("config",), ("config", "--json")):
        done = cli(*words, env=environment)
        assert done.code == 0
        assert "S3cret" not in done.out + done.err
        assert "pin-value=***" in done.out


def test_a_link_that_another_user_put_there_is_not_followed(tmp_path: Path) -> None:
    """Also where the kernel's protected_symlinks is off."""
    if os.geteuid() != 0:
        pytest.fail("this test needs root, as CI has it")
    victim, link = tmp_path / "victim", tmp_path / "out.pem"
    victim.write_text("before")
    link.symlink_to(victim)
    os.lchown(link, NOBODY, NOBODY)
    with pytest.raises(ConfigurationError, match="symbolic link of another user"):
        write_file(str(link), b"after")
    assert victim.read_text() == "before"
    os.lchown(link, 0, 0)
    write_file(str(link), b"after")
    assert victim.read_text() == "after"
    assert link.is_symlink()


def test_a_pipe_of_another_user_gets_nothing(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    os.chown(pipe, NOBODY, NOBODY)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        write_file(str(pipe), b"plaintext", mode=0o600)
    assert os.read(reader, 100) == b""
    os.close(reader)


def test_a_pipe_without_a_reader_is_an_error_and_no_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="cannot write"):
        OutputFile(str(tmp_path / "pipe"))


def test_a_pipe_of_ours_gets_all_of_it(tmp_path: Path) -> None:
    """More than a pipe holds at once: every write is continued."""
    os.mkfifo(tmp_path / "pipe")
    content = os.urandom(300_000)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    for _ in range(6000):
        try:
            write_file(str(tmp_path / "pipe"), content)
            break
        except ConfigurationError:  # the reader is not there yet
            threading.Event().wait(0.01)
    reader.join(60)
    assert got == [content]


@pytest.mark.slow
def test_standard_output_can_be_named(cli: Cli, tmp_path: Path) -> None:
    cli.ok("keys", "create", f"file:{tmp_path}/k.pem", "--type", "ec-p256")
    done = cli.ok("csr", "--key", f"file:{tmp_path}/k.pem", "--subject", "CN=x", "--out", "/dev/stdout")
    assert "BEGIN CERTIFICATE REQUEST" in done.out


@pytest.mark.slow
def test_what_was_decrypted_is_for_its_owner_only(cli: Cli, tmp_path: Path) -> None:
    cli.ok("keys", "create", f"file:{tmp_path}/k.pem", "--type", "rsa-2048")
    openssl = ["openssl", "req", "-x509", "-key", tmp_path / "k.pem", "-subj", "/CN=x", "-out", tmp_path / "c.pem"]
    subprocess.run(openssl, check=True, capture_output=True)
    encrypt = [
        "openssl",
        "cms",
        "-encrypt",
        "-aes-256-cbc",
        "-outform",
        "DER",
        "-out",
        tmp_path / "m",
        tmp_path / "c.pem",
    ]
    subprocess.run(encrypt, input=b"plaintext", check=True, capture_output=True)
    previous = os.umask(0)
    try:
        cli.ok(
            "cale", "decrypt", "--key", f"file:{tmp_path}/k.pem", "--in", tmp_path / "m", "--out", tmp_path / "plain"
        )
    finally:
        os.umask(previous)
    assert (tmp_path / "plain").stat().st_mode & 0o777 == 0o600


def test_a_descriptor_is_read_once(tmp_path: Path) -> None:
    """A second question for the PIN gets the same answer, although the pipe is empty by then."""
    import argparse

    reader, writer = os.pipe()
    os.write(writer, b"1234\n")
    os.close(writer)
    settings = Settings(argparse.Namespace(**{"key.pin_fd": reader}), {}, config=None)
    provide = pin_provider(settings)
    answers = [provide("token a"), provide("token a")]
    os.close(reader)
    assert [answer.reveal() if answer else None for answer in answers] == [b"1234", b"1234"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        'state_dir = "a\\u0000b"\n',
        '[est]\npins = ["a\\u0000b"]\n',
        "x = " + "[" * 20000 + "\n",
        "[est]\npassword_fd = 99999999999999999999\n",
        "[est]\ntimeout_s = 1" + "0" * 400 + "\n",
        "[est]\ntimeout_s = nan\n",
    ],
)
def test_hostile_configuration_is_one_line(cli: Cli, tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    words = (
        "est",
        "cacerts",
        "--url",
        "https://localhost:1",
        "--implicit",
        "--user",
        "x",
        "--config",
        tmp_path / "c.toml",
    )
    cli.fails(2, *words)


@pytest.mark.slow
def test_names_in_certificates_move_no_cursor_and_begin_no_line(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server, or a device that asks for a name, does not write on the terminal of who looks at it."""
    evil = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x\x1b]0;owned\x07\x1b[31m\r\nnote: all is well")])
    issue = register.issue
    monkeypatch.setattr(register, "issue", lambda authority, wish: issue(authority, replace(wish, subject=evil)))
    state = ("--state", lab.state)
    results = [
        lab.cli.ok("est", "enroll", *lab.trust, *lab.login, "--key", lab.key(), "--subject", "CN=x", "--json"),
        lab.cli.ok(*lab.enroll_words(f"file:{lab.keys}/router.pem")),
        lab.cli.ok("show", *state),
        lab.cli.ok("show", *state, "--json"),
    ]
    listing = subprocess.run(
        [Path(sys.executable).parent / "device-sdk-sim", "list", "--state", lab.server.state],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for text in [*(one.out + one.err for one in results), listing.stdout]:
        assert text.replace("\n", "").isprintable()
        assert "\nnote: all is well" not in text
    assert r"\1B]0\;owned\07" in results[2].out
