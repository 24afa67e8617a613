"""What a client that opened answers leaves behind: no plaintext, no content key and no PIN outside of its memory."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.keystores.registry import create_key
from tests.cale_security import careful_client
from tests.cms.handmade import auth_enveloped, enveloped, key_transport, pkcs1_block, rsa_block

SECRET = b"the plaintext of this very test"
CONTENT_KEY = bytes(range(0xA0, 0xC0))
UNMAPPED = re.compile(r"^(pipe|socket|anon_inode):|^/dev/(null|urandom|random|pts/\d+)$")


@dataclass(frozen=True)
class Client:
    """A client that opened every message and waits.

    Attributes:
        output: its standard output and error so far.
        touched: files it opened for writing, renamed or started, by Python's own account.
        open_files: what its descriptors are.
        command_line, environment: as the kernel shows them.
    """

    output: bytes
    touched: list[list[str]]
    open_files: list[str]
    command_line: bytes
    environment: bytes


def spellings(secret: bytes) -> Iterator[bytes]:
    """A secret and what programs make of it when they print it."""
    yield secret
    yield repr(secret).encode()[2:-1]
    yield secret.hex().encode()
    yield base64.b64encode(secret)[: len(secret) // 3 * 4]


def holds(data: bytes, secret: bytes) -> bool:
    return any(one in data or one.upper() in data for one in spellings(secret))


def write_messages(directory: Path, public_key: rsa.RSAPublicKey) -> None:
    """Good ones, a refused one and bad ones."""
    directory.mkdir()
    content = json.dumps({"secret": SECRET.decode()}).encode()
    block = rsa_block(public_key, pkcs1_block(CONTENT_KEY))
    damaged = bytearray(enveloped(CONTENT_KEY, content, key_transport(block)))
    damaged[-1] ^= 1
    for name, message in {
        "1-cbc": enveloped(CONTENT_KEY, content, key_transport(block)),
        "2-gcm": auth_enveloped(CONTENT_KEY, content, key_transport(block)),
        "3-no-json": enveloped(CONTENT_KEY, SECRET, key_transport(block)),
        "4-damaged": bytes(damaged),
        "5-no-key": enveloped(CONTENT_KEY, content, key_transport(rsa_block(public_key, pkcs1_block(b"")))),
    }.items():
        (directory / name).write_bytes(message)


@pytest.fixture
def run_client(tmp_path: Path, softhsm_token: SoftHsm) -> Callable[[str], Client]:
    """run_client(keystore): a client with a room of its own for everything it could write."""

    def run(keystore: str) -> Client:
        room = tmp_path / "room"
        room.mkdir()
        uri = softhsm_token.uri_of("cale") if keystore == "pkcs11" else f"file:{tmp_path / 'key.pem'}"
        with create_key(uri, "rsa-2048") as key:
            write_messages(tmp_path / "messages", key.public_key())  # type: ignore[attr-defined]
        program = careful_client.__file__
        places = ("TMPDIR", "HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_STATE_HOME", "DEVICE_SDK_RUNTIME_DIR")
        environment = os.environ | {name: str(room) for name in places} | {"PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, program, uri, str(tmp_path / "messages"), str(room / "report")]
        with (
            (room / "error").open("wb") as error,
            subprocess.Popen(
                command, cwd=room, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=error
            ) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            lines = []
            while not lines or lines[-1] not in (b"ready\n", b""):
                lines.append(process.stdout.readline())
            place = Path("/proc") / str(process.pid)
            seen = {
                "open_files": [str(one.readlink()) for one in (place / "fd").iterdir()],
                "command_line": (place / "cmdline").read_bytes(),
                "environment": (place / "environ").read_bytes(),
            }
            process.stdin.write(b"\n")
            process.stdin.close()
            assert process.wait(30) == 0, (room / "error").read_text()
        output = b"".join(lines) + (room / "error").read_bytes()
        return Client(output, json.loads((room / "report").read_text()), **seen)  # type: ignore[arg-type]

    return run


@pytest.mark.slow
@pytest.mark.parametrize("keystore", ["pkcs11", "file"])
def test_nothing_is_left_behind(
    run_client: Callable[[str], Client], softhsm_token: SoftHsm, tmp_path: Path, keystore: str
) -> None:
    """Logs at the finest level, tracebacks with variables, files, descriptors, arguments, environment."""
    client = run_client(keystore)
    pin = softhsm_token.pin_file.read_bytes().strip()
    assert len(pin) > 5
    assert client.output.count(b"characters") == 2
    assert client.output.count(b"NotForUsError: ") == 3
    for name, secret in {"plaintext": SECRET, "content key": CONTENT_KEY, "PIN": pin}.items():
        assert not holds(client.output, secret), name
        assert not holds(client.command_line, secret), name
        assert not holds(client.environment, secret), name
        for path in (tmp_path / "room").rglob("*"):
            assert not path.is_file() or not holds(path.read_bytes(), secret), (name, path)
    allowed = (str(tmp_path / "room"), str(softhsm_token.directory))
    assert [one for one in client.touched if not one[1].startswith(allowed) and one[1] != "/dev/null"] == []
    outside = [one for one in client.open_files if not one.startswith(allowed) and not UNMAPPED.match(one)]
    assert outside == []


@pytest.mark.slow
def test_what_is_left_behind_would_be_found(tmp_path: Path) -> None:
    """The searching itself: every spelling, and a temporary file."""
    for spelling in spellings(CONTENT_KEY):
        assert holds(b"DEBUG: key " + spelling + b".", CONTENT_KEY)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import careful_client, tempfile, json\n"
        "sys.argv[1:] = sys.argv[2:]\n"
        "plain = json.loads\n"
        "def loads(data):\n"
        "    with tempfile.NamedTemporaryFile(delete=False) as file: file.write(data)\n"
        "    sys.stderr.write(repr(data)); return plain(data)\n"
        "json.loads = loads\n"
        "careful_client.main()\n"
    )
    uri = f"file:{tmp_path / 'key.pem'}"
    with create_key(uri, "rsa-2048") as key:
        write_messages(tmp_path / "messages", key.public_key())  # type: ignore[attr-defined]
    room = tmp_path / "room"
    room.mkdir()
    words = [sys.executable, "-c", script, str(Path(careful_client.__file__).parent), uri, str(tmp_path / "messages")]
    environment = os.environ | {"TMPDIR": str(room)}
    done = subprocess.run(
        [*words, str(room / "report")], input=b"\n", capture_output=True, timeout=60, check=True, env=environment
    )
    assert holds(done.stderr, SECRET)
    assert any(holds(path.read_bytes(), SECRET) for path in room.iterdir())
    assert any("tempfile" in event for event, _ in json.loads((room / "report").read_text()))
