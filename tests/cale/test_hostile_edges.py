"""Edges that mean no good, over real TLS: whatever they send, one error or a plain refusal, and nothing leaks (CALE-10)."""

from __future__ import annotations

import base64
import itertools
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from device_sdk.client.cale import CaleAuth, CaleClient, RevocationPolicy
from device_sdk.errors import (
    AuthenticationRequiredError,
    DeviceSdkError,
    HttpStatusError,
    NotForUsError,
    RedirectRefusedError,
    RemoteProtocolError,
    ResponseTooLargeError,
    TransportError,
    TransportTimeoutError,
)
from device_sdk.model.credentials import Credentials
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from device_sdk.transports.base import Timeouts
from device_sdk.wire.names import parse_dn
from tests.cale.parts import ANSWER, GUID, RESOURCE, SPEC, VECTORS
from tests.cale.scripted import DRAFT_HEADERS, PLAIN_HEADERS, ScriptedServer, answer, envelope_answer, redirect
from tests.cms.messages import encrypt, write_certificate

PRINTED = DRAFT_HEADERS.replace(b"\r\n smime", b"\r\nsmime")


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(tmp_path) as server:
        yield server


@pytest.fixture
def trust(edge: ScriptedServer) -> ServerTrust:
    return ServerTrust(tuple(x509.load_pem_x509_certificates(edge.ca_file.read_bytes())))


@pytest.fixture
def client(edge: ScriptedServer, trust: ServerTrust, key: PrivateKey) -> Iterator[CaleClient]:
    timeouts = Timeouts(connect_s=20, read_s=20, total_s=60)
    with CaleClient(edge.url, trust, key, guid=GUID, timeouts=timeouts) as client:
        yield client


@pytest.fixture
def session(edge: ScriptedServer, key: PrivateKey) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(edge.ca_file)
        session.auth = CaleAuth(key, GUID, origin=edge.url)
        yield session


HEADERS = {
    "as printed": PRINTED,
    "folded": DRAFT_HEADERS,
    "folded by a tab": DRAFT_HEADERS.replace(b"\r\n smime", b"\r\n\tsmime"),
    "on one line": DRAFT_HEADERS.replace(b"\r\n smime", b" smime"),
    "proxy-safe": PLAIN_HEADERS,
    "joined by a proxy": b'Content-Type: text/plain;charset=UTF-8, application/pkcs7-mime; smime-type="enveloped-data"\r\n',
    "first one kept by a proxy": b"Content-Type: text/plain;charset=UTF-8\r\nMIME-Version: 1.0\r\n",
    "all dropped by a proxy": b"",
    "no transfer encoding": PRINTED.replace(b"Content-Transfer-Encoding: base64\r\n", b""),
    "lower case": DRAFT_HEADERS.lower(),
    "three of them": DRAFT_HEADERS + b"Content-Type: application/octet-stream\r\n",
    "a wrong encoding": DRAFT_HEADERS.replace(b"Encoding: base64", b"Encoding: quoted-printable"),
    "a wrong type": b"Content-Type: image/png\r\n",
    "nonsense": b"Content-Type: ;;;=\"\\\r\nContent-Type: \xff\xfe/\x01\r\nMIME-Version: 9\r\n",
    "very long": b"Content-Type: text/plain; x=" + b"y" * 8000 + b"\r\n" + PLAIN_HEADERS,
}  # fmt: skip


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("form", [base64.b64encode, base64.encodebytes, bytes], ids=["one line", "lines", "binary"])
def test_cale_11_cale_12_headers_do_not_decide(
    client: CaleClient, session: requests.Session, edge: ScriptedServer, headers: bytes, form: Callable[[bytes], bytes]
) -> None:
    """Appendix B as printed, and what http.client, urllib3 and proxies make of it: the body says what it is."""
    body = form(RESOURCE)
    length = b"Content-Length: %d\r\n" % len(body)
    edge.answers["/resource"] = b"HTTP/1.1 200 OK\r\n" + length + headers + b"\r\n" + body
    assert client.get("/resource").content == ANSWER
    assert session.get(edge.url + "/resource").content == ANSWER
    assert session.get(edge.url + "/resource", stream=True).content == ANSWER


def _bad_messages(key: PrivateKey, directory: Path) -> dict[str, bytes]:
    (directory / "certificates").mkdir()
    own = write_certificate(directory / "certificates", key.public_key())
    (directory / "others").mkdir()
    other = write_certificate(directory / "others", ec.generate_private_key(ec.SECP256R1()).public_key())
    nested = RESOURCE
    for _ in range(40):
        nested = b"\x30\x84" + len(nested).to_bytes(4) + nested
    registration = (VECTORS / "enveloped-b1.3.der").read_bytes()
    return {
        "printed decoy": (VECTORS / "decoy-b2.3c.bin").read_bytes(),
        "real decoy": encrypt(ANSWER, other),
        "of the right length": bytes(len(RESOURCE)),
        "empty": b"",
        "plaintext": ANSWER,
        "html": b"<html><title>Please log in</title></html>",
        "cut": RESOURCE[:-1],
        "one byte more": RESOURCE + b"\x05",
        "bad padding": RESOURCE[:-16],
        "half blocks": RESOURCE[:-8],
        "another cipher": encrypt(ANSWER, own, cipher="des-ede3-cbc"),
        "other content": registration[:-32] + RESOURCE[-32:],
        "wrong algorithm": RESOURCE.replace(bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a864886f70d010105")),
        "nested": nested,
        "indefinite for ever": b"\x30\x80" * 200_000,
        "huge length": b"\x30\x84\xff\xff\xff\xff" + RESOURCE,
        "armour within armour": base64.b64encode(base64.b64encode(RESOURCE)),
        "PEM of something else": b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(RESOURCE)
        + b"-----END CERTIFICATE-----\n",
    }  # fmt: skip


def test_cale_10_one_error_for_every_bad_message(
    client: CaleClient, session: requests.Session, edge: ScriptedServer, key: PrivateKey, tmp_path: Path
) -> None:
    """Same class, same text, same facts, no cause, one request, nothing reported; through client, session and stream."""
    messages = _bad_messages(key, tmp_path)
    spoilt = bytearray(RESOURCE)
    spoilt[spoilt.index(b"\x04\x82\x01\x00") + 60] ^= 1  # in the encrypted content key
    messages["altered key"] = bytes(spoilt)
    url = edge.url + "/resource"
    told = set()
    for (name, message), headers in itertools.product(messages.items(), (DRAFT_HEADERS, PLAIN_HEADERS)):
        form = bytes if name == "PEM of something else" else base64.encodebytes
        edge.answers["/resource"] = answer(form(message), headers)
        for read in (
            lambda: client.get("/resource"),
            lambda: session.get(url),
            lambda: session.get(url, stream=True).content,
        ):
            before = len(edge.received)
            with pytest.raises(DeviceSdkError) as caught:
                read()
            assert caught.value.__cause__ is caught.value.__context__ is None, name
            told.add((type(caught.value), str(caught.value), str(sorted(caught.value.facts().items()))))
            assert len(edge.received) == before + 1, name
    assert len(told) == 1
    assert next(iter(told))[0] is NotForUsError


@pytest.mark.parametrize("form", ["chunked", "length", "neither"])
def test_endless_bodies(client: CaleClient, session: requests.Session, edge: ScriptedServer, form: str) -> None:
    """Memory is bounded by the limit, whatever the edge says of the length."""
    head = {
        "chunked": b"Transfer-Encoding: chunked\r\n\r\n",
        "length": b"Content-Length: 999999999999\r\n\r\n",
        "neither": b"Connection: close\r\n\r\n",
    }[form]
    piece = b"10000\r\n" + b"M" * 65536 + b"\r\n" if form == "chunked" else b"M" * 65536
    edge.answers["/endless"] = b"HTTP/1.1 200 OK\r\n" + PLAIN_HEADERS + head + piece * 40
    edge.answers["/endless-404"] = b"HTTP/1.1 404 Not Found\r\n" + head + piece * 40
    for path, expected in (("/endless", ResponseTooLargeError), ("/endless-404", HttpStatusError)):
        with pytest.raises(expected):
            client.get(path)
        with pytest.raises(ResponseTooLargeError):
            session.get(edge.url + path)
    with pytest.raises(ResponseTooLargeError):
        session.get(edge.url + "/endless-404", stream=True)


@pytest.mark.slow
def test_slow_bodies_end_at_the_timeout(edge: ScriptedServer, trust: ServerTrust, key: PrivateKey) -> None:
    def slow(_request: object) -> bytes:
        time.sleep(1.5)
        return envelope_answer(RESOURCE)

    edge.answers["/slow"] = slow
    timeouts = Timeouts(connect_s=2, read_s=1, total_s=3)
    with CaleClient(edge.url, trust, key, guid=GUID, timeouts=timeouts) as client, pytest.raises(TransportTimeoutError):
        client.get("/slow")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_cale_13_the_client_follows_no_redirect(
    client: CaleClient, edge: ScriptedServer, tmp_path: Path, status: int
) -> None:
    """Neither with a GUID nor with a password, not even on the same origin."""
    with ScriptedServer(tmp_path) as elsewhere:
        for location in (elsewhere.url + "/resource", "/resource", "//user:SECRETPW@host/"):
            edge.answers["/moved"] = redirect(location, b"%d Moved" % status)
            with pytest.raises(RedirectRefusedError) as caught:
                client.get("/moved")
            assert "SECRETPW" not in str(caught.value)
        assert elsewhere.received == []


def test_cale_02_a_registration_is_not_redirected(
    edge: ScriptedServer, trust: ServerTrust, key: PrivateKey, tmp_path: Path
) -> None:
    with ScriptedServer(tmp_path) as elsewhere:
        edge.answers["/registration"] = redirect(elsewhere.url + "/registration", b"307 Temporary Redirect")
        credentials = Credentials("user", Secret("SECRETPW"))
        with CaleClient(edge.url, trust, key, credentials=credentials) as client, pytest.raises(RedirectRefusedError):
            client.register(SPEC)
        assert elsewhere.received == []


TELLS = {
    401: (b"WWW-Authenticate: Bearer\r\n", AuthenticationRequiredError, "it takes Bearer"),
    403: (b"", HttpStatusError, "ask who runs the edge device"),
    404: (b"", HttpStatusError, "own URL"),
    406: (b"", HttpStatusError, "no algorithm in common"),
    413: (b"", HttpStatusError, "larger than the edge device takes"),
    429: (b"Retry-After: 7\r\n", HttpStatusError, "come back in 7 s"),
    500: (b"", HttpStatusError, "in trouble"),
    502: (b"", HttpStatusError, "in trouble"),
    503: (b"", HttpStatusError, "come back later"),
    418: (b"", HttpStatusError, "answered 418"),
}


@pytest.mark.parametrize("status", TELLS)
def test_what_the_person_on_the_bench_is_told(client: CaleClient, edge: ScriptedServer, status: int) -> None:
    headers, kind, words = TELLS[status]
    said = b"SECRET? no: \x1b[31m<b>go away</b>"
    edge.answers["/x"] = answer(said, headers + b"Content-Type: text/html\r\n", b"%d Whatever" % status)
    with pytest.raises(HttpStatusError) as caught:
        client.get("/x")
    assert type(caught.value) is kind
    assert (caught.value.status_code, caught.value.url) == (status, edge.url + "/x")
    assert words in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert caught.value.retry_after_s == (7.0 if status == 429 else None)


@pytest.mark.parametrize(
    ("date", "retry", "seconds"),
    [
        (b"Sat, 21 Nov 2026 10:00:00 GMT", b"Sat, 21 Nov 2026 10:01:30 GMT", 90.0),
        (b"Sat, 21 Nov 2026 10:00:00 GMT", b"Sat, 21 Nov 2026 09:00:00 GMT", 0.0),
        (b"", b"Sat, 21 Nov 2026 10:01:30 GMT", None),
        (b"nonsense", b"soon", None),
        (b"Fri, 31 Dec 9999 23:59:59 -2359", b"-5", None),
        (b"", b"9999999", 86400.0),
    ],
)
def test_retry_after_by_the_servers_own_clock(
    client: CaleClient, edge: ScriptedServer, date: bytes, retry: bytes, seconds: float | None
) -> None:
    edge.answers["/x"] = answer(b"", b"Date: %s\r\nRetry-After: %s\r\n" % (date, retry), b"503 Busy")
    with pytest.raises(HttpStatusError) as caught:
        client.get("/x")
    assert caught.value.retry_after_s == seconds


def test_replayed_answers_are_not_noticed(client: CaleClient, edge: ScriptedServer) -> None:
    """Section 21 item 5, as it is: nothing in an answer names its request or its time; TLS to the edge is all there is.

    This test documents the weakness (docs/threat-model.md); it turns red if somebody claims to have removed it.
    """
    edge.answers["/balance/today"] = edge.answers["/balance/yesterday"] = envelope_answer(RESOURCE)
    assert client.get("/balance/yesterday").content == client.get("/balance/today").content


def test_cale_13_answers_of_another_origin_are_not_opened(
    session: requests.Session, edge: ScriptedServer, tmp_path: Path
) -> None:
    """Mixed-up origins: an envelope for our key from elsewhere stays one, and ours is not sent there."""
    with ScriptedServer(tmp_path, {"/resource": envelope_answer(RESOURCE)}) as other:
        response = session.get(other.url + "/resource")
        assert base64.b64decode(response.content) == RESOURCE
        assert "application/x-pkcs7-mime" in response.headers["Content-Type"]
        assert "cale-guid" not in other.received[0].headers
        edge.answers["/moved"] = redirect(other.url + "/resource")
        assert base64.b64decode(session.get(edge.url + "/moved").content) == RESOURCE
        assert all("cale-guid" not in request.headers for request in other.received)


CONTRADICTIONS = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nMIIB",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no HTTP": b"SSH-2.0-edge\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"X-Filler: y\r\n" * 5000 + b"\r\n",
    "ends in the head": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n",
    "ends in the body": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\nMIIB",
    "gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\nConnection: close\r\n\r\n\x1f\x8b\x08",
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("response", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_broken_http(client: CaleClient, edge: ScriptedServer, response: bytes) -> None:
    edge.answers["/x"] = response
    edge.answers["/resource"] = envelope_answer(RESOURCE)
    with pytest.raises((RemoteProtocolError, TransportError)):
        client.get("/x")
    assert client.get("/resource").content == ANSWER, "the client goes on"


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"other": 1}', b"7", b"\xff\xfe"], ids=["deep", "other", "number", "binary"]
)
def test_cale_09_whatever_a_check_raises_is_not_for_us(
    client: CaleClient, session: requests.Session, edge: ScriptedServer, key: PrivateKey, tmp_path: Path, body: bytes
) -> None:
    import json

    certificate = write_certificate(tmp_path, key.public_key())
    edge.answers["/forged"] = envelope_answer(encrypt(body, certificate))

    def check(plaintext: bytes) -> object:
        return json.loads(plaintext)["name"]

    with pytest.raises(NotForUsError) as caught:
        client.get("/forged", check=check)
    assert caught.value.__cause__ is caught.value.__context__ is None
    with pytest.raises(NotForUsError):
        session.get(edge.url + "/forged", auth=CaleAuth(key, GUID, origin=edge.url, check=check))


def _attribute(plaintext: bytes) -> object:
    return plaintext.no_such_attribute  # type: ignore[attr-defined]


def _assertion(plaintext: bytes) -> object:
    raise AssertionError(plaintext)


CHECKS: dict[str, Callable[[bytes], object]] = {
    "xml": ET.fromstring,
    "attribute": _attribute,
    "assertion": _assertion,
    "division": lambda plaintext: 1 / (len(plaintext) - len(SECRET)),
    "memory": lambda _plaintext: bytearray(1 << 62),
    "stop": lambda _plaintext: next(iter(())),
    "sdk": lambda plaintext: parse_dn(plaintext.decode()),
}
SECRET = b"SECRETPW, and no document"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_cale_09_a_check_may_raise_anything(
    client: CaleClient,
    session: requests.Session,
    edge: ScriptedServer,
    key: PrivateKey,
    tmp_path: Path,
    check: Callable[[bytes], object],
    stream: bool,
) -> None:
    """One error, counted like every other, and nothing hangs on it that has seen the plaintext."""
    edge.answers["/forged"] = envelope_answer(encrypt(SECRET, write_certificate(tmp_path, key.public_key())))
    auth = CaleAuth(key, GUID, origin=edge.url, check=check, revocation=RevocationPolicy(1))
    with pytest.raises(NotForUsError) as by_session:
        session.get(edge.url + "/forged", auth=auth, stream=stream)
    assert auth.suspects_revocation
    with pytest.raises(NotForUsError) as by_client:
        client.get("/forged", check=check)
    for caught in (by_session.value, by_client.value):
        assert caught.__cause__ is caught.__context__ is None
        frames = [frame.f_locals for frame, _ in traceback.walk_tb(caught.__traceback__)]
        ours = [repr(value) for found in frames for name, value in found.items() if name != "SECRET"]
        assert not any("SECRETPW" in value for value in ours)
