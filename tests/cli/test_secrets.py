"""PINs and passwords: by file, environment, descriptor or prompt; never in arguments, output, state or temporary files."""

from __future__ import annotations

import base64
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SoftHsm

from tests.cli.conftest import COMMAND, Cli, Lab
from tests.descriptors import readable

pytestmark = pytest.mark.slow

PASSWORD = "pä ss\twörd 'with\" €verything\\"
PIN = "Zq7 4711-ge heim"


@pytest.fixture
def odd(tmp_path: Path, cli: Cli) -> Iterator[Lab]:
    """A server whose user has a password that needs care."""
    with ReferenceServer(tmp_path / "server", user="gerät 7", password=PASSWORD) as server:
        yield Lab(cli, server, tmp_path)


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """A token whose PIN is known here."""
    with SoftHsm(tmp_path / "softhsm", pin=PIN) as token:
        monkeypatch.setenv("SOFTHSM2_CONF", token.environment["SOFTHSM2_CONF"])
        yield token


def _bare(token: SoftHsm, name: str = "key") -> str:
    """A URI without a PIN source."""
    return f"pkcs11:token=device;object={name}?module-path={token.module_path}"


def _descriptor(content: str) -> int:
    read, write = os.pipe()
    os.write(write, content.encode())
    os.close(write)
    return read


def _at_terminal(cli: Cli, answers: list[str], *words: object) -> tuple[int, str]:
    """Run a command at a terminal of its own, answer its prompts; its exit code and everything on the screen."""
    master, slave = os.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *COMMAND, *map(str, words)],
        stdin=slave, stdout=slave, stderr=slave, env=os.environ | cli.environment, cwd=cli.directory,
    )  # fmt: skip
    os.close(slave)
    screen, deadline = b"", time.monotonic() + 60
    pending = list(answers)
    while time.monotonic() < deadline:
        if not readable(master, 0.2):
            continue
        try:
            part = os.read(master, 4096)
        except OSError:  # the other side is closed
            break
        screen += part
        if pending and screen.endswith(b": "):
            os.write(master, pending.pop(0).encode() + b"\n")
    os.close(master)
    process.wait(timeout=60)
    assert pending == [], screen.decode()
    return process.returncode, screen.decode()


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_password_file_with_any_end_of_line(ending: str, odd: Lab, tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes((PASSWORD + ending).encode())
    (tmp_path / "password").chmod(0o600)
    words = ("est", "enroll", *odd.trust, "--key", odd.key(), "--subject", "CN=x", "--out", tmp_path / "x.pem")
    assert odd.cli.ok(*words, "--user", "gerät 7", "--password-file", tmp_path / "password").err == ""


@pytest.mark.slow
def test_password_by_environment_and_descriptor(odd: Lab, tmp_path: Path) -> None:
    words = ("est", "enroll", *odd.trust, "--key", odd.key(), "--subject", "CN=x", "--user", "gerät 7")
    odd.cli.ok(*words, env={"DEVICE_SDK_PASSWORD": PASSWORD})
    read = _descriptor(PASSWORD + "\n")
    odd.cli.ok(*words, "--password-fd", read, pass_fds=(read,))
    os.close(read)
    odd.cli.ok(*words, "--password-fd", 0, input=PASSWORD.encode())
    assert "no password for user gerät 7" in odd.cli.fails(2, *words)
    assert "file descriptor 77" in odd.cli.fails(2, *words, "--password-fd", 77)
    assert "cannot read the secret in /nonexistent" in odd.cli.fails(2, *words, "--password-file", "/nonexistent")


def test_flag_before_environment_before_configuration(odd: Lab, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong")
    (tmp_path / "right").write_text(PASSWORD)
    words = ("est", "enroll", *odd.trust, "--key", odd.key(), "--subject", "CN=x", "--user", "gerät 7")
    wrong, right = tmp_path / "wrong", tmp_path / "right"
    (tmp_path / "config.toml").write_text(f'[est]\npassword_file = "{wrong}"\n')
    assert "refused the user name or password" in odd.cli.fails(7, *words)
    odd.cli.ok(*words, env={"DEVICE_SDK_PASSWORD": PASSWORD})
    odd.cli.ok(*words, env={"DEVICE_SDK_EST_PASSWORD_FILE": str(right), "DEVICE_SDK_PASSWORD": "wrong"})
    odd.cli.ok(*words, "--password-file", right, env={"DEVICE_SDK_PASSWORD": "wrong"})
    odd.cli.ok(*words, "--password-fd", 0, input=PASSWORD.encode())


@pytest.mark.slow
def test_password_at_the_prompt(odd: Lab) -> None:
    words = ("est", "enroll", *odd.trust, "--key", odd.key(), "--subject", "CN=x", "--user", "gerät 7")
    code, screen = _at_terminal(odd.cli, [PASSWORD], *words)
    assert code == 0, screen
    assert screen.startswith("Password: ")
    assert "BEGIN CERTIFICATE" in screen
    assert PASSWORD not in screen
    code, screen = _at_terminal(odd.cli, [""], *words)
    assert code == 2
    assert "no password for user" in screen


def test_pin_by_every_way(pinned: SoftHsm, cli: Cli, tmp_path: Path) -> None:
    key = _bare(pinned)
    create = ("keys", "create", key, "--type", "ec-p256", "--reuse")
    assert "wants a PIN" in cli.fails(4, *create)
    cli.ok(*create, env={"DEVICE_SDK_KEY_PIN": PIN})
    cli.ok(*create, "--key-pin-file", pinned.pin_file)
    read = _descriptor(PIN)
    cli.ok(*create, "--key-pin-fd", read, pass_fds=(read,))
    os.close(read)
    cli.ok(*create, env={"DEVICE_SDK_KEY_PIN_FILE": str(pinned.pin_file), "DEVICE_SDK_KEY_PIN": "wrong"})
    cli.ok("keys", "show", key + f"&pin-source=file:{quote(str(pinned.pin_file))}", env={"DEVICE_SDK_KEY_PIN": "wrong"})
    cli.ok("keys", "show", key + "&pin-source=env:MY_PIN", env={"MY_PIN": PIN})
    code, screen = _at_terminal(cli, [PIN], *create)
    assert (code, screen.startswith("PIN for token device: ")) == (0, True)
    assert PIN not in screen


@pytest.mark.slow
def test_one_question_for_many_logins(pinned: SoftHsm, lab: Lab) -> None:
    """A renewal opens the token several times; the person is asked once, and the descriptor is read once."""
    state = ("--state", lab.state)
    enroll = ("enroll", *state, "--key", _bare(pinned), *lab.trust, *lab.login, "--subject", "CN=router-7")
    code, screen = _at_terminal(lab.cli, [PIN], *enroll)
    assert code == 0, screen
    assert screen.count("PIN for") == 1
    read = _descriptor(PIN)
    lab.cli.ok("renew", *state, "--key-pin-fd", read, pass_fds=(read,))
    os.close(read)


@pytest.mark.slow
def test_one_question_for_many_key_files(lab: Lab) -> None:
    """Each opening of an encrypted key file wants the passphrase; a descriptor has it only once."""
    words = lab.enroll_words(f"file:{lab.keys}/device.pem")
    for command in (words, ("renew", "--state", lab.state)):
        read = _descriptor("passphrase\n")
        lab.cli.ok(*command, "--key-pin-fd", read, pass_fds=(read,))
        os.close(read)
    answers = ["passphrase", "another one", "another one"]  # what is new is typed twice
    code, screen = _at_terminal(lab.cli, answers, "renew", "--state", lab.state)
    assert (code, screen.count("device-2.pem: "), screen.count("device-3.pem (Enter")) == (0, 1, 1), screen


def test_end_of_file_at_the_prompt_is_no_pin(pinned: SoftHsm, cli: Cli) -> None:
    code, screen = _at_terminal(cli, ["\x04"], "keys", "list", _bare(pinned))
    assert code == 4, screen
    assert "wants a PIN" in screen


@pytest.mark.slow
def test_wrong_pin_is_tried_once_and_never_shown(pinned: SoftHsm, cli: Cli) -> None:
    wrong = {"DEVICE_SDK_KEY_PIN": "very wrong PIN"}
    first = cli("keys", "list", _bare(pinned), env=wrong)
    assert (first.code, "refused the PIN" in first.err) == (4, True)
    second = cli("keys", "list", _bare(pinned), env=wrong)
    assert (second.code, "not tried again" in second.err) == (4, True)
    cli.ok("keys", "list", _bare(pinned), env={"DEVICE_SDK_KEY_PIN": PIN})
    assert "very wrong PIN" not in first.err + second.err


def test_a_secret_that_everybody_can_read_earns_a_warning(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "open").write_text(lab.server.password)
    (tmp_path / "open").chmod(0o644)
    words = ("est", "enroll", *lab.trust, "--user", "device", "--password-file", tmp_path / "open")
    done = lab.cli.ok(*words, "--key", lab.key(), "--subject", "CN=x", "--out", tmp_path / "x")
    assert done.err == f"device-sdk: warning: {tmp_path}/open holds a secret and is readable by everybody\n"


@pytest.mark.parametrize("place", ["long", "/dev/zero"])
def test_too_long(place: str, lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "long").write_text("x" * 5000)
    words = ("est", "enroll", *lab.trust, "--user", "device", "--password-file", place, "--key", lab.key())
    assert "longer than 4096" in lab.cli.fails(2, *words)


@pytest.mark.parametrize(
    "uri",
    [pytest.param("pkcs11:token=x?pin-value={}", marks=pytest.mark.slow), "pkcs11:token=x?pin-value={}&pin-source=y", "pkcs11:token=x?pin-value={}&pin-value={}",
     "pkcs11:nonsense=x?pin-value={}", "pkcs11:token=%zz?pin-value={}", "pkcs11:token=x?pin-value={}%zz"],
)  # fmt: skip
def test_a_pin_in_a_uri_is_never_shown(uri: str, cli: Cli) -> None:
    text = uri.format("S3cretPin", "S3cretPin")
    for words in (("keys", "show", text), ("keys", "create", text, "--type", "ec-p25"), ("keys", "create", "--frob", text),
                  ("csr", text), (text,), ("keys", text), ("keys", "certificate", text)):  # fmt: skip
        done = cli(*words, "--json", "-v")
        assert done.code != 0
        assert "S3cretPin" not in done.out + done.err, words


def _forms(secret: str) -> list[bytes]:
    raw = secret.encode()
    return [raw, quote(secret).encode(), base64.b64encode(raw), raw.hex().encode(), repr(secret)[1:-1].encode()]


def test_nothing_is_left_of_a_secret_anywhere(pinned: SoftHsm, odd: Lab, tmp_path: Path) -> None:
    """Everything a device does in its life, with all words and some mistakes; then its output and its files are searched."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    odd.cli.environment |= {"TMPDIR": str(temporary), "DEVICE_SDK_PASSWORD": PASSWORD, "DEVICE_SDK_KEY_PIN": PIN}
    state, key, cale = ("--state", odd.state), _bare(pinned), _bare(pinned, "cale")
    user = ("--user", "gerät 7")
    said, codes = b"", []
    for words in (
        ("enroll", *state, "--key", key, *odd.trust, *user, "--subject", "CN=x"),
        ("renew", *state, *user),
        ("keys", "create", cale, "--type", "rsa-2048"),
        ("cale", "register", *state, "--url", odd.server.cale_url, "--key", cale, *user),
        ("cale", "get", "/resource", *state),
        ("doctor", *state, "--online"),
        ("show", *state),
        ("config",),
        ("enroll", *state, "--again", "--key", key, *odd.trust, "--user", "nobody", "--subject", "CN=x"),
        (
            "enroll",
            *state,
            "--again",
            "--key",
            key,
            "--url",
            "https://localhost:1",
            "--implicit",
            *user,
            "--subject",
            "CN=x",
        ),
        ("cale", "register", *state, "--url", odd.server.cale_url, "--key", cale, "--user", "nobody"),
    ):
        for more in (("--json",), ("-v",)):
            done = odd.cli.run(*words, *more, env={"DEVICE_SDK_TRACEBACK": "1", "PYTHONFAULTHANDLER": "1"})
            said += done.stdout + done.stderr
            assert b"Traceback" not in done.stderr, done.stderr.decode()
            codes.append(done.returncode)
    assert codes[:16:2] == [0] * 8
    odd.server.faults.set("noise", "2000")
    for verb in ("enroll", "renew"):
        words = (*state, "--again", "--key", key, *odd.trust, "--subject", "CN=x") if verb == "enroll" else state
        said += b"".join(odd.cli.run(verb, *words, *user, "-v", "--json").stderr.splitlines())
    # the server and the token have their own
    mine = [odd.state, temporary, odd.keys, tmp_path / "refused-pins", tmp_path / "config.toml"]
    files = [path for place in mine for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file()]
    assert len(files) > 4
    basic = base64.b64encode(f"gerät 7:{PASSWORD}".encode())
    for form in (*_forms(PASSWORD), *_forms(PIN), basic):
        assert form not in said
        assert not [str(path) for path in files if form in path.read_bytes()]
    assert list(temporary.iterdir()) == []
