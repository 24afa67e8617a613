"""The edge device as a reverse proxy for clients that take whole responses: what a service says of its answers arrives."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import requests
from cryptography import x509
from device_sdk_simulators.cale.binary_http import BINARY_HTTP, write_response
from device_sdk_simulators.cale.capabilities import EXTENSION, read_capabilities, without_responses
from device_sdk_simulators.cale.ciphers import ContentCipher
from device_sdk_simulators.cale.envelope import DATA, ciphertext_length, seal
from device_sdk_simulators.cale.role_server import RoleServer
from device_sdk_simulators.cale.roles import EdgeSettings, RolePlace, edge_role
from device_sdk_simulators.cale.rules import CaleRules
from device_sdk_simulators.cale.stand_ins import stand_in_certificate
from device_sdk_simulators.policy import Policy

from device_sdk.client.cale import CaleAuth, CaleClient
from device_sdk.errors import BehindEdgeError, NotForUsError
from device_sdk.model.credentials import Credentials
from device_sdk.model.decryption import EVERYTHING
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from device_sdk.wire.csr_capabilities import capabilities_extension
from tests.cale.parts import SPEC
from tests.simulators.cale.support import KEYS, STRANGER, Client, basic, opened, web_server

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) + b"\n\n"
FIELDS = {
    "Content-Type": "image/png",
    "ETag": '"v1"',
    "Last-Modified": "Sat, 01 Aug 2026 00:00:00 GMT",
    "Content-Disposition": 'inline; filename="a.png"',
    "Set-Cookie": "session=1",
    "Cache-Control": "public",
}


ODD = {
    "Content-Type": "text/plain;\r\n charset=utf-8",
    "Content-Disposition": 'inline; filename="\xfc"',
    "ETag": '"' + "x" * 5000 + '"',
    "Last-Modified": "never\x07",
    "Content-Language": "",
}


class Shop(BaseHTTPRequestHandler):
    """A service that knows nothing of CALE."""

    def do_GET(self) -> None:
        if self.path == "/a.png":
            self._answer(200, FIELDS, PNG)
        elif self.path == "/docs":
            self._answer(301, {"Location": f"http://{self.headers['Host']}/docs/"})
        elif self.path == "/docs/":
            self._answer(200, {"Content-Type": "text/html"}, b"<p>here")
        elif self.path == "/odd":
            self._answer(200, ODD)
        elif self.path == "/empty":
            self._answer(204, {})
        else:
            self._answer(404, {"Content-Type": "text/html"}, b"<p>a page of some length " * 40)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(
            201, {"Location": f"http://{self.headers['Host']}/orders/7", "Content-Type": "text/plain"}, b"made"
        )

    def _answer(self, status: int, fields: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    with web_server(Shop) as url:
        yield url


@pytest.fixture(scope="module")
def rules() -> CaleRules:
    """Of the edge device, and what is inside of it."""
    return CaleRules(padding=256)


@pytest.fixture(scope="module")
def edge(shop: str, rules: CaleRules, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoleServer]:
    place = RolePlace(tmp_path_factory.mktemp("edge"))
    running = edge_role(place, Policy(cale=rules), EdgeSettings(user="device", upstream=shop)).start()
    yield running
    running.stop()


def password(edge: RoleServer) -> str:
    return Path(str(edge.facts["password_file"])).read_text().strip()


@pytest.fixture
def register(edge: RoleServer) -> Callable[..., CaleClient]:
    def make(kind: str = "p256", **options: object) -> CaleClient:
        trust = ServerTrust(tuple(x509.load_pem_x509_certificates(Path(str(edge.facts["ca_file"])).read_bytes())))
        login = Credentials("device", Secret(password(edge)))
        client = CaleClient(edge.url, trust, KEYS[kind], credentials=login, **options)
        client.register(SPEC)
        return client

    return make


@pytest.fixture
def session(edge: RoleServer, register: Callable[..., CaleClient]) -> Iterator[requests.Session]:
    with register() as client, requests.Session() as session:
        session.trust_env, session.verify = False, str(edge.facts["ca_file"])
        session.auth = CaleAuth(KEYS["p256"], client.guid, origin=client.origin)
        yield session


@pytest.mark.parametrize("stream", [False, True])
def test_a_reverse_proxy_that_loses_nothing_of_the_content_cale_20(edge, session, stream):
    answer = session.get(f"{edge.url}/a.png", stream=stream)
    assert (answer.status_code, answer.content) == (200, PNG)
    said = {name: answer.headers.get(name) for name in FIELDS}
    assert said == FIELDS | {"Set-Cookie": None, "Cache-Control": "no-store"}
    assert not session.cookies
    assert session.get(f"{edge.url}/empty", stream=stream).status_code == 204
    missing = session.get(f"{edge.url}/nothing", stream=stream)
    assert (missing.status_code, missing.json()) == (404, {"error": 404})
    # what cannot be read in one way only stays behind, and a fold is a space
    odd = session.get(f"{edge.url}/odd", stream=stream)
    about = {name for name in odd.headers if name not in ("Date", "Content-Length", "Cache-Control")}
    assert (about, odd.headers["Content-Type"]) == ({"Content-Type"}, "text/plain; charset=utf-8")
    moved = session.get(f"{edge.url}/docs", stream=stream)
    assert (moved.url, moved.content) == (f"{edge.url}/docs/", b"<p>here")


def test_what_a_change_made_and_where_cale_06(edge, rules, session, register):
    """Status and Location of a 201; a redirect of a change stays a document, which nobody follows."""
    rules.methods = ("POST",)
    login = requests.auth.HTTPBasicAuth("device", password(edge))
    with register() as client:
        session.auth = CaleAuth(KEYS["p256"], client.guid, origin=client.origin, methods=("POST",), second=login)
    made = session.post(f"{edge.url}/orders", data="x")
    assert (made.status_code, made.headers["Location"], made.text) == (201, "/orders/7", "made")


def test_draft_clients_get_what_the_draft_has(edge, make_client, register):
    """Who does not say so gets bare content, filled up if it is text; all from the same edge device."""
    client: Client = make_client(url=edge.url, ca_file=edge.facts["ca_file"])
    assert client.register(basic("device", password(edge))) == 200
    assert client.read("/a.png") == PNG
    assert client.read("/docs/") == b"<p>here".ljust(256, b"\n")
    assert client.read("/nothing") == b'{"error": 404}'.ljust(256, b"\n")
    assert client.read("/docs") == b'{"error": 502}'.ljust(256, b"\n")
    with register(negotiate=False) as quiet:
        found = quiet.get("/docs/")
        assert (found.media_type, found.content) == (None, b"<p>here".ljust(256, b"\n"))


@pytest.mark.parametrize("kind", KEYS)
def test_the_authorization_server_decides_for_the_servers_behind_it(edge, rules, register, kind):
    """Its certificates say whether whole responses are written, to who answers as to who makes decoys (CALE-24)."""
    with register(kind) as client:
        assert client.get("/a.png").media_type == "image/png"
        rules.inside = "draft"
        try:
            # of AES-CBC, after a registration in AES-GCM, a client believes nothing
            with pytest.raises(NotForUsError):
                client.get("/a.png")
            client.register(SPEC)
            assert client.get("/a.png").headers == {}
            assert client.get("/a.png").content == PNG
            with pytest.raises(BehindEdgeError):
                client.get("/nothing")
        finally:
            rules.inside = "http"
        client.register(SPEC)
        assert client.get("/a.png").media_type == "image/png"
        assert client.whoami().public_key() == KEYS[kind].public_key()


def test_head_says_nothing_of_the_path_cale_24(edge, session):
    """There is no content to encrypt a status in: all of them are the same, and none has a media type."""
    seen = set()
    for path, guid in (("/a.png", None), ("/nothing", None), ("/nothing", STRANGER)):
        fields = {"CALE-GUID": guid} if guid else {}
        answer = (requests if guid else session).head(edge.url + path, headers=fields, verify=session.verify)
        seen.add((answer.status_code, tuple(name for name in answer.headers if name != "Content-Length")))
        assert answer.content == b""
    assert len(seen) == 1
    assert seen.pop()[0] == 200


def types(answers: list[HttpResponse]) -> list[str]:
    """What the envelopes are said to hold."""
    return [ciphertext_length(base64.b64decode(answer.body))[2] for answer in answers]


def watch(client: CaleClient) -> list[HttpResponse]:
    """The answers as they come over the network."""
    seen: list[HttpResponse] = []
    send = client._transport.send

    def sent(request: HttpRequest) -> HttpResponse:
        seen.append(send(request))
        return seen[-1]

    client._transport.send = sent
    return seen


def test_all_types_fill_buckets_cale_37(edge, register):
    """Whatever a service answers within a bucket is as long as what does not exist."""
    with register() as client:
        seen = watch(client)
        client.get("/docs/")
        for path in ("/nothing", "/docs"):
            with pytest.raises(BehindEdgeError):
                client.get(path)
        client.get("/empty")
    assert len({len(answer.body) for answer in seen}) == 1
    assert set(types(seen)) == {BINARY_HTTP}


def test_decoys_have_the_type_of_answers_cale_38(edge, rules, register):
    """To resources that of whole responses, and to /whoami data, whoever makes them."""
    with register() as client:
        seen = watch(client)
        client.whoami()
        client.get("/docs/")
        rules.rate = 1
        try:
            for read in (client.whoami, lambda: client.get("/docs/")):
                read()
                with pytest.raises(NotForUsError):
                    read()
        finally:
            rules.rate = 0
    assert types(seen) == [DATA, BINARY_HTTP, DATA, DATA, BINARY_HTTP, BINARY_HTTP]
    assert len({len(answer.body) for answer in seen[1::4]}) == 1


@pytest.mark.parametrize("hardened", [False, True])
@pytest.mark.parametrize("aead", [False, True])
@pytest.mark.parametrize("kind", KEYS)
def test_openssl_opens_whole_responses(tmp_path, kind, aead, hardened):
    """With AES-GCM also what authenticates their type (RFC 5083 section 2.2)."""
    message = write_response(200, [("Content-Type", "image/png")], PNG, 512)
    recipient = stand_in_certificate(KEYS[kind].public_key(), datetime.now(UTC))
    cipher = ContentCipher(32, aead=aead)
    envelope = seal(message, recipient, cipher, hardened=hardened, content_type=BINARY_HTTP)
    assert opened(KEYS[kind], base64.b64encode(envelope), tmp_path) == message


def test_the_capability_is_taken_out_and_nothing_else():
    extension = capabilities_extension(KEYS["rsa"].public_key(), EVERYTHING, None, (BINARY_HTTP,))
    value = x509.UnrecognizedExtension(EXTENSION, extension.value.public_bytes())
    before, after = read_capabilities(value.value), read_capabilities(without_responses(value).value)
    assert (before.responses, after.responses) == (True, False)
    assert (before.contents, before.rsa, before.ec) == (after.contents, after.rsa, after.ec)
    bare = capabilities_extension(KEYS["rsa"].public_key(), EVERYTHING).value.public_bytes()
    assert without_responses(value).value == bare
