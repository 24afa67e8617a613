"""Answers that hold a whole response (RFC 9292), for clients that said they read it: media type, status, and nothing filled up."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.cale.binary_http import BINARY_HTTP as THEIRS
from device_sdk_simulators.cale.binary_http import write_response
from device_sdk_simulators.cale.ciphers import ContentCipher
from device_sdk_simulators.cale.envelope import DATA, seal
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5083, rfc5652
from requests.adapters import HTTPAdapter

from device_sdk.client.cale import CaleAdapter, CaleAuth, CaleClient, CaleExchange, decrypt
from device_sdk.errors import BehindEdgeError, EnvelopeError, NotForUsError, RedirectRefusedError, WireError
from device_sdk.model.keys import PrivateKey
from device_sdk.model.trust import ServerTrust
from device_sdk.wire.binary_http import BINARY_HTTP, MAX_HEAD_BYTES, check_pieces, read_head, read_response
from tests.cale.parts import GUID
from tests.cale.scripted import DRAFT_HEADERS, ScriptedServer, envelope_answer
from tests.cms.messages import write_certificate

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 3 + b"\n\n\n\0\0"
LARGE = b"".join(hashlib.sha256(number.to_bytes(4)).digest() for number in range(20_000)) + bytes(3)
CBC, GCM = ContentCipher(32, aead=False), ContentCipher(32, aead=True)
Seal = Callable[..., bytes]


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def certificate(key: PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> x509.Certificate:
    path = write_certificate(tmp_path_factory.mktemp("certificate"), key.public_key())
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.fixture
def sealed(certificate: x509.Certificate) -> Seal:
    """A message as the reference server writes it."""

    def make(plaintext: bytes, cipher: ContentCipher = GCM, content_type: str = BINARY_HTTP) -> bytes:
        return seal(plaintext, certificate, cipher, content_type=content_type)

    return make


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(tmp_path) as server:
        yield server


@pytest.fixture
def session(edge: ScriptedServer, key: PrivateKey) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(edge.ca_file)
        session.auth = CaleAuth(key, GUID, origin=edge.url)
        yield session


# -- the form


def test_rfc_9292_octet_by_octet() -> None:
    """Section 3.2 and 3.6 to 3.8, by hand; what is left out at the end is empty."""
    whole = bytes.fromhex("0140c80b") + b'\4etag\5"1.0"' + b"\2hi\0"
    head, content = read_response(whole)
    assert (head.status, head.fields, content) == (200, (("etag", '"1.0"'),), b"hi")
    assert read_response(whole[:-1]) == (head, b"hi")
    assert read_response(whole + bytes(100)) == (head, b"hi")
    assert read_response(bytes.fromhex("0140cc00"))[0].status == 204
    # integers need not be as short as they could be (RFC 9292 section 2)
    assert read_response(bytes.fromhex("c000000000000001800000c84000400261620000"))[1] == b"ab"


@pytest.mark.parametrize("bucket", [0, 1, 256, 1000])
@pytest.mark.parametrize("size", [0, 1, 61, 62, 63, 64, 65, 250, 16383, 16384, 70_000])
def test_what_the_server_writes_the_client_reads(size: int, bucket: int) -> None:
    content = bytes(size)
    fields = [("Content-Type", "image/png"), ("ETag", '"x"'), ("X-Long", "y" * 900)]
    message = write_response(200, fields, content, bucket)
    assert bucket == 0 or len(message) % bucket == 0
    head, read = read_response(message)
    assert (head.status, read) == (200, content)
    assert head.fields == tuple((name.lower(), value) for name, value in fields)
    assert check_pieces(head, (message[at : at + 7] for at in range(0, len(message), 7)))
    assert THEIRS == BINARY_HTTP


def field(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + bytes([len(value)]) + value


MALFORMED = {
    "empty": b"",
    "a request": bytes.fromhex("0003474554"),
    "indeterminate length": bytes.fromhex("0340c80002686900"),
    "interim response": bytes.fromhex("0140660040c8000268690000"),
    "status 100": bytes.fromhex("0140640002686900"),
    "status 600": bytes.fromhex("014258000268690000"),
    "cut in the status": bytes.fromhex("0140"),
    "no field section": bytes.fromhex("0140c8"),
    "fields cut short": bytes.fromhex("0140c810") + b"\4etag",
    "a field longer than its section": bytes.fromhex("0140c806") + b"\4etag\x30" + b"\2hi" + bytes(64),
    "an empty name": bytes.fromhex("0140c802") + field(b"", b"") + b"\2hi\0",
    "a name in upper case": bytes.fromhex("0140c807") + field(b"ETag", b"x") + b"\2hi\0",
    "a line feed in a value": bytes.fromhex("0140c809") + field(b"etag", b"a\nb") + b"\2hi\0",
    "a value that begins with a space": bytes.fromhex("0140c808") + field(b"etag", b" b") + b"\2hi\0",
    "a value outside of ASCII": bytes.fromhex("0140c807") + field(b"etag", b"\xe4") + b"\2hi\0",
    "too many fields": bytes.fromhex("0140c8") + b"\x40\xc6" + field(b"etag", b"") * 33 + b"\2hi\0",
    "content cut short": bytes.fromhex("0140c80003") + b"hi",
    "content of 2^62": bytes.fromhex("0140c800ffffffffffffffff") + b"hi",
    "a trailer": bytes.fromhex("0140c800026869") + b"\x07" + field(b"etag", b"x"),
    "something behind the filling": bytes.fromhex("0140c80002686900") + bytes(20) + b"\1",
    "more header than there is use for": b"\x01\x40\xc8\x80\x00\x40\x00" + bytes(16384),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_is_refused(name: str) -> None:
    with pytest.raises(WireError):
        read_response(MALFORMED[name])


def test_no_prefix_and_no_changed_head_is_anything_else_than_refused_or_bounded() -> None:
    message = write_response(200, [("Content-Type", "text/plain")], b"hello", 64)
    for end in range(len(message)):
        for bit in range(8):
            flipped = message[:end] + bytes([message[end] ^ 1 << bit]) + message[end + 1 :]
            try:
                head, content = read_response(flipped)
            except WireError:
                continue
            assert 200 <= head.status <= 599
            assert len(content) <= len(message)
    assert len(read_head(message).fields) == 1


# -- answers


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("content", [PNG, LARGE], ids=["small", "large"])
def test_a_picture_arrives_as_what_it_is_cale_11(
    edge: ScriptedServer, session: requests.Session, sealed: Seal, stream: bool, content: bytes
) -> None:
    """To the last octet, however much it was filled up, with its media type in place of what the draft prints."""
    fields = [("Content-Type", "image/png"), ("ETag", '"v1"'), ("Content-Disposition", 'attachment; filename="a.png"')]
    edge.answers["/a.png"] = envelope_answer(sealed(write_response(200, fields, content, 4096)))
    response = session.get(f"{edge.url}/a.png", stream=stream)
    assert (response.status_code, response.reason, response.content) == (200, "OK", content)
    assert {name: response.headers[name] for name, _ in fields} == dict(fields)
    assert response.headers.get("Content-Length") == (None if stream else str(len(content)))
    assert response.encoding is None


def test_text_is_read_by_the_charset_that_its_type_names(
    edge: ScriptedServer, session: requests.Session, sealed: Seal
) -> None:
    for path, media_type, octets in (
        ("/latin", "text/plain; charset=ISO-8859-1", "Größe".encode("latin-1")),
        ("/utf", "text/plain", "Größe".encode()),
        ("/json", "application/json", '"Größe"'.encode()),
    ):
        edge.answers[path] = envelope_answer(sealed(write_response(200, [("Content-Type", media_type)], octets, 64)))
        for stream in (False, True):
            response = session.get(edge.url + path, stream=stream)
            assert response.text.strip('"') == "Größe", path
            assert response.headers["Content-Type"] == media_type


def test_only_what_is_about_the_content_is_taken(edge: ScriptedServer, session: requests.Session, sealed: Seal) -> None:
    """Nothing that sets a state, asks for credentials or lets somebody keep the plaintext; nothing of the outside either."""
    inside = [
        ("Set-Cookie", "a=b"),
        ("Cache-Control", "public, max-age=1000"),
        ("WWW-Authenticate", "Basic"),
        ("Strict-Transport-Security", "max-age=0"),
        ("Content-Length", "7"),
        ("Content-Encoding", "gzip"),
        ("Content-Type", "text/csv"),
        ("Content-Language", "de"),
        ("Content-Language", "en"),
        ("Last-Modified", "Sat, 01 Aug 2026 00:00:00 GMT"),
    ]
    outside = DRAFT_HEADERS + b'ETag: "outer"\r\nCache-Control: no-store\r\nLocation: /elsewhere\r\n'
    edge.answers["/x"] = envelope_answer(sealed(write_response(200, inside, b"1,2\n")), outside)
    response = session.get(f"{edge.url}/x")
    assert response.headers["Content-Type"] == "text/csv"
    assert "Content-Language" not in response.headers, "of two nobody knows which one is meant"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Length"] == "4"
    assert response.headers["Last-Modified"] == dict(inside)["Last-Modified"]
    for name in ("Set-Cookie", "WWW-Authenticate", "Strict-Transport-Security", "Content-Encoding", "ETag", "Location"):
        assert name not in response.headers
    assert not session.cookies


def test_errors_have_their_status_cale_05(
    edge: ScriptedServer, session: requests.Session, key: PrivateKey, sealed: Seal
) -> None:
    page = b"<p>no such order</p>"
    edge.answers["/order"] = envelope_answer(sealed(write_response(410, [("Content-Type", "text/html")], page, 256)))
    for stream in (False, True):
        response = session.get(f"{edge.url}/order", stream=stream)
        assert (response.status_code, response.content, response.headers["Content-Type"]) == (410, page, "text/html")
        with pytest.raises(requests.HTTPError, match="Gone, behind the edge device"):
            response.raise_for_status()
    trust = ServerTrust(tuple(x509.load_pem_x509_certificates(edge.ca_file.read_bytes())))
    # a document that looks like an error is one by its status only
    edge.answers["/fine"] = envelope_answer(sealed(write_response(200, [], b'{"error": 404}', 256)))
    with CaleClient(edge.url, trust, key, guid=GUID, encrypted_errors=False) as client:
        with pytest.raises(BehindEdgeError) as caught:
            client.get("/order", check=lambda _: pytest.fail("a check looks at what was asked for"))
        assert caught.value.status_code == 410
        assert client.get("/fine").content == b'{"error": 404}'
    with CaleClient(edge.url, trust, key, guid=GUID) as client:
        assert client.get("/fine").content == b'{"error": 404}'
    assert session.get(f"{edge.url}/fine").status_code == 200


def test_client_and_exchange_say_the_media_type(
    edge: ScriptedServer, key: PrivateKey, certificate: x509.Certificate, sealed: Seal
) -> None:
    message = sealed(write_response(200, [("Content-Type", "image/png")], PNG, 256))
    edge.answers["/a.png"] = envelope_answer(message)
    edge.answers["/bare"] = envelope_answer(sealed(b"bare", GCM, DATA))
    trust = ServerTrust(tuple(x509.load_pem_x509_certificates(edge.ca_file.read_bytes())))
    with CaleClient(edge.url, trust, key, guid=GUID) as client:
        found = client.get("/a.png", check=lambda content: content.index(b"PNG"))
        assert (found.content, found.media_type, found.headers) == (PNG, "image/png", {"content-type": "image/png"})
        bare = client.get("/bare")
        assert (bare.content, bare.media_type, bare.headers) == (b"bare", None, {})
    exchange = CaleExchange(key, GUID, edge.url)
    body = base64.encodebytes(message)
    assert exchange.open(200, (), body) == PNG
    document = exchange.open_document(200, (), body)
    assert (document.content, document.headers, document.whole) == (PNG, (("content-type", "image/png"),), True)
    assert decrypt(message, key) == PNG
    with pytest.raises(EnvelopeError):
        decrypt(sealed(b"not a response"), key)


@pytest.mark.parametrize("stream", [False, True])
def test_redirects_behind_the_edge_are_followed_on_the_origin(
    edge: ScriptedServer, session: requests.Session, key: PrivateKey, sealed: Seal, stream: bool, tmp_path: Path
) -> None:
    def leads_to(location: str, content: bytes = b"") -> bytes:
        return envelope_answer(sealed(write_response(308, [("Location", location)], content, 256)))

    edge.answers["/docs"] = leads_to("/docs/")
    edge.answers["/docs/"] = envelope_answer(sealed(write_response(200, [("Content-Type", "text/html")], b"here", 256)))
    response = session.get(f"{edge.url}/docs", stream=stream)
    assert (response.content, response.url, len(response.history)) == (b"here", f"{edge.url}/docs/", 1)
    edge.answers["/out"] = leads_to("http://127.0.0.1:1/")
    with pytest.raises(RedirectRefusedError):
        session.get(f"{edge.url}/out", stream=stream)
    assert session.get(f"{edge.url}/docs", stream=stream, allow_redirects=False).status_code == 308
    # the content of one would be read into memory, however large
    edge.answers["/docs"] = leads_to("/docs/", LARGE)
    session.auth = CaleAuth(key, GUID, origin=edge.url, spool_directory=tmp_path)
    response = session.get(f"{edge.url}/docs", stream=stream)
    assert (response.content, response.history[0].content) == (b"here", b"")
    assert not stream or response.history[0].raw.closed
    with requests.Session() as mounted:
        mounted.trust_env, mounted.verify = False, str(edge.ca_file)
        mounted.mount(edge.url, CaleAdapter(CaleAuth(key, GUID, origin=edge.url), HTTPAdapter()))
        assert mounted.get(f"{edge.url}/docs", stream=stream).content == b"here"
    trust = ServerTrust(tuple(x509.load_pem_x509_certificates(edge.ca_file.read_bytes())))
    with CaleClient(edge.url, trust, key, guid=GUID) as client:
        with pytest.raises(BehindEdgeError, match="no redirect") as caught:
            client.get("/docs")
        assert (caught.value.location, caught.value.hint) == ("/docs/", "ask for /docs/; the registration is sound")


# -- bad input: one error (CALE-10)


@pytest.mark.parametrize("large", [False, True])
def test_what_opens_to_no_response_is_not_for_us_cale_10(
    edge: ScriptedServer, session: requests.Session, key: PrivateKey, sealed: Seal, large: bool
) -> None:
    bad: Sequence[bytes] = list(MALFORMED.values())
    if large:
        good = write_response(200, [("Content-Type", "image/png")], LARGE, 4096)
        bad = [b"\0" + good[1:], good[:600_000], good + b"\1", good[: len(LARGE) // 2] + bytes(len(LARGE)) + b"\1"]
    texts = set()
    for plaintext in bad:
        edge.answers["/x"] = envelope_answer(sealed(plaintext))
        for stream in (False, True):
            with pytest.raises(NotForUsError) as caught:
                session.get(f"{edge.url}/x", stream=stream)
            assert caught.value.__cause__ is None
            assert caught.value.__context__ is None
            texts.add(str(caught.value))
    assert len(texts) == 1


def retyped(message: bytes, content_type: str, *, attributes: bool) -> bytes:
    """The same message, said to hold something else; nobody needs a key for that."""
    info = decode(message, asn1Spec=rfc5652.ContentInfo())[0]
    aead = info["contentType"] == rfc5083.id_ct_authEnvelopedData
    spec = rfc5083.AuthEnvelopedData() if aead else rfc5652.EnvelopedData()
    data = decode(info["content"], asn1Spec=spec)[0]
    data["authEncryptedContentInfo" if aead else "encryptedContentInfo"]["contentType"] = content_type
    if attributes:
        data["authAttrs"][0]["attrValues"][0] = encode(rfc5652.ContentType(content_type))
    info["content"] = encode(data)
    return bytes(encode(info))


def test_the_type_cannot_be_changed_where_it_is_authenticated(
    edge: ScriptedServer, session: requests.Session, sealed: Seal
) -> None:
    """RFC 5083 section 2.1: a type that is not data is authenticated, and a reader compares it."""
    whole = write_response(200, [], b"content", 64)
    changed = [
        retyped(sealed(whole), DATA, attributes=False),
        retyped(sealed(whole), DATA, attributes=True),
        retyped(sealed(whole), "1.2.840.113549.1.7.2", attributes=True),
        retyped(sealed(whole, GCM, DATA), BINARY_HTTP, attributes=False),
    ]
    for message in changed:
        edge.answers["/x"] = envelope_answer(message)
        with pytest.raises(NotForUsError):
            session.get(f"{edge.url}/x")
    # and with AES-CBC it can, as everything else can
    edge.answers["/x"] = envelope_answer(retyped(sealed(whole, CBC), DATA, attributes=False))
    assert session.get(f"{edge.url}/x").content == whole


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", [100, 500_000])
def test_responses_that_nothing_authenticates_are_not_for_us_cale_10(
    edge: ScriptedServer, session: requests.Session, sealed: Seal, stream: bool, size: int
) -> None:
    """Who changes the IV of AES-CBC changes the status, and asks about paddings behind it: an error is told from garbage."""
    for status in (200, 404):
        edge.answers["/x"] = envelope_answer(sealed(write_response(status, [], bytes(size)), CBC))
        with pytest.raises(NotForUsError):
            session.get(f"{edge.url}/x", stream=stream)


def test_pyasn1_writes_the_same_octets(sealed: Seal) -> None:
    for cipher in (CBC, GCM):
        message = sealed(write_response(200, [], b"content"), cipher)
        info, rest = decode(message, asn1Spec=rfc5652.ContentInfo())
        spec = rfc5083.AuthEnvelopedData() if cipher.aead else rfc5652.EnvelopedData()
        data, after = decode(info["content"], asn1Spec=spec)
        assert (rest, after) == (b"", b"")
        assert bytes(encode(data)) == bytes(info["content"])


def test_too_much_before_the_content_is_never_collected() -> None:
    assert MAX_HEAD_BYTES == 16 * 1024
    with pytest.raises(WireError):
        read_head(write_response(200, [("x", "y" * 1000)] * 20, b"")[:MAX_HEAD_BYTES])
