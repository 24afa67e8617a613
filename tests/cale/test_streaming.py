"""`stream=True`: answers larger than memory, checked to their end before the first byte of plaintext is handed over."""

from __future__ import annotations

import base64
import contextlib
import gc
import hashlib
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from requests.adapters import HTTPAdapter

from device_sdk.client.cale import CaleAuth
from device_sdk.errors import NotForUsError, ResponseTooLargeError, StateNotWritableError
from device_sdk.model.keys import PrivateKey
from tests.cale.parts import GUID
from tests.cale.scripted import DRAFT_HEADERS, PLAIN_HEADERS, ScriptedServer, answer, envelope_answer
from tests.cms.messages import encrypt, write_certificate

LARGE = b"".join(hashlib.sha256(number.to_bytes(4)).digest() for number in range(100_000))  # 3.2 MB


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def certificate(key: PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("certificate"), key.public_key())


@pytest.fixture(scope="module", params=["aes-256-cbc", "aes-128-gcm"])
def message(certificate: Path, request: pytest.FixtureRequest) -> bytes:
    """By openssl."""
    return encrypt(LARGE, certificate, cipher=request.param)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(tmp_path) as server:
        yield server


@pytest.fixture
def spools(tmp_path: Path) -> Path:
    (tmp_path / "spools").mkdir()
    return tmp_path / "spools"


@pytest.fixture
def session(edge: ScriptedServer, key: PrivateKey, spools: Path) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(edge.ca_file)
        session.auth = CaleAuth(key, GUID, origin=edge.url, spool_directory=spools)
        yield session


def spool_files() -> list[str]:
    """Descriptors of files that have no name any more."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(entry.readlink()))
    return [target for target in found if "spools" in target]


@pytest.mark.parametrize("headers", [DRAFT_HEADERS, PLAIN_HEADERS], ids=["draft", "plain"])
def test_a_large_answer(session: requests.Session, edge: ScriptedServer, message: bytes, headers: bytes) -> None:
    """CALE-05: piece by piece, in every way requests has; the temporary file has no name and is gone at the end."""
    edge.answers["/large"] = envelope_answer(message, headers + b"Set-Cookie: seen=1; Secure\r\n")
    with session.get(edge.url + "/large", stream=True) as response:
        assert spool_files() != []
        assert "Content-Length" not in response.headers
        assert response.cookies["seen"] == "1"
        assert hashlib.sha256(b"".join(response.iter_content(1000))).digest() == hashlib.sha256(LARGE).digest()
    assert spool_files() == []
    assert session.cookies["seen"] == "1"
    whole = session.get(edge.url + "/large", stream=True)
    assert whole.content == LARGE
    assert whole.content == LARGE, "kept, once it was read"
    raw = session.get(edge.url + "/large", stream=True)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        shutil.copyfileobj(raw.raw, nowhere)
    pieces = session.get(edge.url + "/large", stream=True)
    assert b"".join(pieces.iter_content(None)) == LARGE
    assert spool_files() == []


def test_small_answers_need_no_file(session: requests.Session, edge: ScriptedServer, certificate: Path) -> None:
    edge.answers["/small"] = envelope_answer(encrypt(b"small\n", certificate))
    response = session.get(edge.url + "/small", stream=True)
    assert spool_files() == []
    assert list(response.iter_lines()) == [b"small"]
    empty = session.get(edge.url + "/small", stream=True)
    assert (empty.raw.read(0), empty.raw.read(3), empty.raw.read(), empty.raw.read()) == (b"", b"sma", b"ll\n", b"")


def _lines(raw: Any) -> bytes:
    return b"".join(raw)


def _readinto(raw: Any) -> bytes:
    found, buffer = b"", bytearray(70_000)
    while size := raw.readinto(buffer):
        found += buffer[:size]
    return found


def _read1(raw: Any) -> bytes:
    return b"".join(iter(lambda: raw.read1(100_000), b""))


def _exact(raw: Any) -> bytes:
    """urllib3's read gives so many bytes, and fewer only at the end."""
    begin = raw.read(1_000_000)
    assert len(begin) == 1_000_000
    return begin + raw.read(3_000_000)


def _chunked(raw: Any) -> bytes:
    return b"".join(raw.read_chunked(1000))


def _peeked(raw: Any) -> bytes:
    return raw.peek()[:0] + raw.read(0) + raw.readline(5) + raw.read()


READINGS: dict[str, Callable[[Any], bytes]] = {
    "negative": lambda raw: raw.read(-1),
    "read1 of all": lambda raw: raw.read1(-1) + raw.read1() + raw.read(),
    "readall": lambda raw: raw.readall(),
    "readinto": _readinto,
    "read1": _read1,
    "exact": _exact,
    "data": lambda raw: raw.data and raw.data,
    "lines": _lines,
    "readlines": lambda raw: b"".join(raw.readlines()),
    "readline": _peeked,
    "chunked": _chunked,
    "buffered": lambda raw: io.BufferedReader(raw).read(),
    "text": lambda raw: io.TextIOWrapper(io.BufferedReader(raw), "latin-1", newline="").read().encode("latin-1"),
}


@pytest.mark.parametrize("read", READINGS.values(), ids=READINGS)
def test_every_way_to_read_gives_all_of_it(
    session: requests.Session, edge: ScriptedServer, message: bytes, read: Callable[[Any], bytes]
) -> None:
    """CALE-05: none of them ends early, or reads what is left of the ciphertext."""
    edge.answers["/large"] = envelope_answer(message)
    response = session.get(edge.url + "/large", stream=True)
    assert not response.raw.closed
    assert read(response.raw) == LARGE
    assert spool_files() == []
    response.close()


def test_what_would_read_the_ciphertext_is_refused(
    session: requests.Session, edge: ScriptedServer, message: bytes
) -> None:
    edge.answers["/large"] = envelope_answer(message)
    with session.get(edge.url + "/large", stream=True) as response:
        raw = response.raw
        assert (raw.status, raw.headers["MIME-Version"], raw.readable(), raw.isclosed()) == (200, "1.0", True, False)
        for name in ("_fp", "length_remaining", "supports_chunked_reads", "drain_conn", "json", "readchunk"):
            with pytest.raises(AttributeError):
                getattr(raw, name)
        for act in (raw.tell, raw.fileno, lambda: raw.seek(0)):
            with pytest.raises((OSError, AttributeError)):
                act()
        assert raw.read() == LARGE
    assert raw.closed
    assert raw.isclosed()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "another key", "noise", "text", "encrypted key"])
def test_cale_10_nothing_of_a_bad_answer_is_handed_over(
    session: requests.Session, edge: ScriptedServer, message: bytes, damage: str, spools: Path, tmp_path: Path
) -> None:
    """One error, before any plaintext; nothing asked again, no file left, and the session goes on."""
    other = ec.generate_private_key(ec.SECP256R1())
    bad = {
        "cut": message[:-40],
        "another key": encrypt(LARGE, write_certificate(tmp_path, other.public_key())),
        "noise": os.urandom(2_000_000),
        "text": b"At vero eos et accusamus " * 50_000,
        "encrypted key": message[:200] + bytes(byte ^ 1 for byte in message[200:210]) + message[210:],
    }
    require_refusal(session, edge, bad[damage], message)
    assert list(spools.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("place", [0.02, 0.5, 0.999])
def test_cale_10_an_altered_authenticated_answer(
    session: requests.Session, edge: ScriptedServer, certificate: Path, place: float
) -> None:
    """One bit anywhere in the ciphertext: AES-GCM shows it, at the very end; nothing was handed over until then."""
    good = encrypt(LARGE, certificate, cipher="aes-256-gcm")
    at = int(len(good) * place)
    require_refusal(session, edge, good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], good)


def require_refusal(session: requests.Session, edge: ScriptedServer, bad: bytes, good: bytes) -> None:
    edge.answers["/bad"] = envelope_answer(bad)
    edge.answers["/good"] = envelope_answer(good)
    with pytest.raises(NotForUsError) as caught:
        session.get(edge.url + "/bad", stream=True)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "not for this key" in caught.value.message
    assert len(edge.received) == 1
    gc.collect()
    assert spool_files() == []
    assert session.get(edge.url + "/good", stream=True).content == LARGE


def test_a_check_sees_the_whole_plaintext(
    session: requests.Session, edge: ScriptedServer, key: PrivateKey, message: bytes
) -> None:
    """CALE-09: so it is read into memory, within that limit."""
    edge.answers["/large"] = envelope_answer(message)
    seen: list[int] = []
    auth = CaleAuth(key, GUID, origin=edge.url, check=lambda text: seen.append(len(text)), limit_bytes=10_000_000)
    assert session.get(edge.url + "/large", stream=True, auth=auth).raw.read(0) == b""
    assert seen == [len(LARGE)]
    small = CaleAuth(key, GUID, origin=edge.url, check=len, limit_bytes=1_000_000)
    with pytest.raises(ResponseTooLargeError):
        session.get(edge.url + "/large", stream=True, auth=small)


@pytest.mark.slow
def test_the_stream_is_bounded(
    session: requests.Session, edge: ScriptedServer, key: PrivateKey, message: bytes
) -> None:
    edge.answers["/large"] = envelope_answer(message)
    auth = CaleAuth(key, GUID, origin=edge.url, stream_limit_bytes=2_000_000)
    with pytest.raises(ResponseTooLargeError) as caught:
        session.get(edge.url + "/large", stream=True, auth=auth)
    assert caught.value.limit_bytes == 2_000_000
    gc.collect()
    assert spool_files() == []


def test_a_failure_gives_its_connection_back(session: requests.Session, edge: ScriptedServer, message: bytes) -> None:
    """With one connection in the pool, a second request would wait for ever."""
    session.mount(edge.url, HTTPAdapter(pool_connections=1, pool_maxsize=1, pool_block=True))
    edge.answers["/noise"] = envelope_answer(os.urandom(4_000_000))
    edge.answers["/good"] = envelope_answer(message)
    for _ in range(3):
        with pytest.raises(NotForUsError):
            session.get(edge.url + "/noise", stream=True)
    with session.get(edge.url + "/good", stream=True) as response:
        assert next(response.iter_content(10)) == LARGE[:10]
    assert session.get(edge.url + "/good", stream=True).content == LARGE


def test_given_up_half_way(session: requests.Session, edge: ScriptedServer, message: bytes) -> None:
    edge.answers["/large"] = envelope_answer(message)
    response = session.get(edge.url + "/large", stream=True)
    assert next(response.iter_content(10)) == LARGE[:10]
    response.close()
    assert spool_files() == []
    assert response.raw.read() == b""
    assert session.get(edge.url + "/large", stream=True).content == LARGE


def test_no_room_for_the_temporary_file(
    session: requests.Session, edge: ScriptedServer, key: PrivateKey, message: bytes, tmp_path: Path
) -> None:
    edge.answers["/large"] = envelope_answer(message)
    auth = CaleAuth(key, GUID, origin=edge.url, spool_directory=tmp_path / "missing")
    with pytest.raises(StateNotWritableError, match="missing"):
        session.get(edge.url + "/large", stream=True, auth=auth)
    if Path("/dev/full").exists():
        assert session.get(edge.url + "/large", stream=True).content == LARGE


PROGRAM = """
import resource, sys
from pathlib import Path
import requests
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from device_sdk.client.cale import CaleAuth
url, ca_file, key_file, spools = sys.argv[1:]
session = requests.Session()
session.trust_env, session.verify = False, ca_file
key = load_pem_private_key(Path(key_file).read_bytes(), None)
session.auth = CaleAuth(key, "bec6dc7e-6562-4b1c-b308-6c352e6f8404", origin=url, spool_directory=spools)
session.get(url + "/small", stream=True).content
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = sum(len(piece) for piece in session.get(url + "/large", stream=True).iter_content(65536))
print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_memory_stays_bounded(edge: ScriptedServer, key: PrivateKey, certificate: Path, spools: Path) -> None:
    """64 MiB of plaintext, 87 MiB on the wire, less than 16 MiB of memory more than for a small answer."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    large = encrypt(bytes(64 * 1024 * 1024), certificate, cipher="aes-256-gcm")
    edge.answers["/small"] = envelope_answer(encrypt(b"small", certificate))
    edge.answers["/large"] = answer(base64.encodebytes(large), PLAIN_HEADERS)
    key_file = spools / "key.pem"
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, edge.url, edge.ca_file, key_file, spools],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    size, more_kib = map(int, done.stdout.split())
    assert size == 64 * 1024 * 1024
    assert more_kib < 16 * 1024
