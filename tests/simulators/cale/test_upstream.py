"""The edge device as a reverse proxy in front of an HTTP server that knows nothing of CALE."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
import requests
from cryptography import x509
from device_sdk_simulators.cale.hops import HopTimeoutError, HopUnreachableError
from device_sdk_simulators.cale.roles import EdgeSettings, RolePlace, edge_role
from device_sdk_simulators.cale.rules import CaleRules
from device_sdk_simulators.cale.upstream import Upstream
from device_sdk_simulators.http.messages import Request
from device_sdk_simulators.policy import Policy

from device_sdk.client.cale import CaleAuth, CaleClient
from device_sdk.model.trust import ServerTrust
from device_sdk.transports.https import HardwareTlsAdapter
from tests.simulators.cale.support import STRANGER, basic, opened, web_server
from tests.simulators.cale.test_upstream_answers import RawServer


class Echo(BaseHTTPRequestHandler):
    """Says what it was asked."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        fields = [(name.lower(), value) for name, value in self.headers.items()]
        said = {"method": self.command, "path": self.path, "fields": fields, "body": self.rfile.read(length).decode()}
        status = int(self.path.partition("/status/")[2][:3]) if "/status/" in self.path else 200
        if self.path == "/slow":
            time.sleep(0.4)
        body = b"" if status in (204, 304) else json.dumps(said).encode()
        if self.path == "/mebibyte":
            body = bytes(1024 * 1024)
        if self.path == "/large":
            body = b"x" * 200_000
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Set-Cookie", "session=1")
        if "?to=" in self.path:
            self.send_header("Location", unquote(self.path.partition("?to=")[2]))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        pass


for _method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
    setattr(Echo, f"do_{_method}", Echo.answer)


@pytest.fixture
def echo() -> Iterator[str]:
    with web_server(Echo) as url:
        yield url


@pytest.fixture
def proxy(tmp_path, make_client):
    """Makes an edge device in front of an upstream, and a registered client of it."""
    running = []

    def make(upstream: str, *, settings=None, **rules):
        policy = Policy(cale=CaleRules(**rules))
        options = {"user": "device", "upstream": upstream, "tokens": {"o": "other"}} | (settings or {})
        edge = edge_role(RolePlace(tmp_path / "edge"), policy, EdgeSettings(**options)).start()
        running.append(edge)
        client = make_client(url=edge.url, ca_file=edge.facts["ca_file"])
        password = Path(str(edge.facts["password_file"])).read_text().strip()
        client.login = basic("device", password)
        assert client.register(client.login) == 200
        return edge, client

    yield make
    for edge in running:
        edge.stop()


def test_an_upstream_that_knows_nothing_cale_20(proxy, echo):
    edge, client = proxy(echo + "/base/", settings={"owner_header": "Remote-User"}, forward=("accept", "User-Agent"))
    said = json.loads(
        client.read(
            "/orders/1?page=2&x=%2F", ("Accept", "application/json"), ("Accept-Language", "de"), ("User-Agent", "t/1")
        )
    )
    assert (said["method"], said["path"]) == ("GET", "/base/orders/1?page=2&x=%2F")
    host = echo.removeprefix("http://")
    assert sorted(map(tuple, said["fields"])) == [
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
        ("connection", "close"),
        ("host", host),
        ("remote-user", "device"),
        ("user-agent", "t/1"),
    ]
    assert b"orders" not in (client.read("/orders/1", guid=STRANGER) or b"")
    assert edge.log()[-1]["decoy"] is True


def test_one_tag_stands_for_a_guid_on_every_line_cale_39(proxy, echo):
    """The operator follows a registration from its first line to its revocation."""
    edge, client = proxy(echo)
    client.read("/orders/1")
    client.get("/whoami")
    assert client.send("DELETE", "/registration", [("CALE-GUID", client.guid), *client.login.items()])[0] == 204
    client.get("/orders/1")
    client.get("/whoami")
    assert len({entry["registration"] for entry in edge.log()}) == 1
    assert len(edge.log()) == 6
    assert client.guid not in json.dumps(edge.log())


def test_no_field_of_a_client_that_matters_gets_through(proxy, echo):
    _edge, client = proxy(echo, settings={"owner_header": "Remote-User"})
    extra = [
        ("Connection", "keep-alive, X-Secret"), ("Keep-Alive", "timeout=5"), ("TE", "trailers"), ("Upgrade", "h2c"),
        ("Proxy-Authorization", "Basic eA=="), ("Remote-User", "admin"), ("remote_user", "admin"), ("Cookie", "a=b"),
        ("X-Forwarded-For", "10.0.0.1"), ("Range", "bytes=0-1"), ("If-None-Match", "x"), ("Accept-Encoding", "gzip"),
        ("Authorization", "Basic eA=="), ("CALE-PEM", "x"), ("Cipher", "x"), ("Content-Type", "text/plain"),
        ("Accept", "image/x"), ("Accept-Language", "de"), ("User-Agent", "x"),
    ]  # fmt: skip
    said = json.loads(client.read("/a", *extra))
    names = [name for name, _ in said["fields"]]
    assert sorted(names) == ["accept-encoding", "connection", "host", "remote-user"]
    assert ["remote-user", "device"] in said["fields"]


def test_answers_carry_nothing_of_the_upstream_but_their_content(proxy, echo):
    _edge, client = proxy(echo)
    _status, fields, body = client.get("/a")
    assert "set-cookie" not in dict(fields)
    assert b"session" not in body


@pytest.mark.parametrize("status", [301, 304, 401, 404, 500, 503])
def test_errors_of_the_upstream_are_encrypted_too(proxy, echo, status):
    """Clients take 400 to 599 for errors, so what is neither an answer nor an error is a bad gateway."""
    edge, client = proxy(echo)
    assert json.loads(client.read(f"/status/{status}")) == {"error": status if status >= 400 else 502}
    assert edge.log()[-1]["status"] == 200


def changed(client, path):
    """Status and plaintext of a change that the owner asks for."""
    fields = [("CALE-GUID", client.guid), *client.login.items()]
    status, _fields, body = client.send("POST", path, fields, b"x")
    return status, opened(client.key, body, client.directory) if status == 200 else body


@pytest.mark.parametrize("status", [200, 201, 202, 203, 204, 206])
def test_every_success_of_the_upstream_is_an_answer_cale_06_cale_57(proxy, echo, status):
    """RFC 9110 section 15.3: a change that was made is no trouble, whatever the number of its success."""
    _edge, client = proxy(echo, methods=("POST",))
    made = changed(client, f"/status/{status}")
    assert made[0] == 200
    for method, plaintext in (("POST", made[1]), ("GET", client.read(f"/status/{status}"))):
        if (method, status) == ("GET", 206):
            # a part of a document, and no request for a range goes inside
            assert json.loads(plaintext) == {"error": 502}
            continue
        assert plaintext == b"" if status == 204 else json.loads(plaintext)["method"] == method


@pytest.mark.parametrize(
    ("location", "arrives"),
    [
        ("/things/7", "/things/7"),
        ("{echo}/base/things/7?a=b", "/things/7?a=b"),
        ("/base/things/7", "/things/7"),
        ("{echo}/base", "/"),
        ("{echo}/elsewhere", "{echo}/elsewhere"),
        ("https://other.example/x", "https://other.example/x"),
        ("7", "7"),
        ("//other.example/x", "//other.example/x"),
        ("{echo}/base?a=b", "/?a=b"),
        ("HTTP{echo_rest}/base/x", "/x"),
    ],
)
def test_a_redirect_of_a_change_says_what_became_of_it_cale_06(proxy, echo, location, arrives):
    """RFC 9110 section 15.4.4: 303 is how servers say that it was done, and where to look; the paths are the client's."""
    _edge, client = proxy(f"{echo}/base/", methods=("POST",))
    status, plaintext = changed(client, f"/status/303?to={quote(location.format(echo=echo, echo_rest=echo[4:]))}")
    assert status == 200
    assert json.loads(plaintext) == {"status": 303, "location": arrives.format(echo=echo)}


@pytest.mark.parametrize(
    "location", ["{echo}/base//other.example/x", "/base//other.example/x", "/base/\\other.example/x"]
)
def test_a_redirect_to_a_path_becomes_none_to_another_server_cale_06(proxy, echo, location):
    """The rest of the address, without the part that leads to the upstream, would name a server."""
    edge, client = proxy(f"{echo}/base", methods=("POST",))
    status, plaintext = changed(client, f"/status/303?to={quote(location.format(echo=echo))}")
    assert (status, json.loads(plaintext)) == (200, {"error": 502})
    assert "two slashes" in edge.log()[-1]["reason"]


def test_a_redirect_without_a_location_and_one_that_did_nothing(proxy, echo):
    _edge, client = proxy(echo, methods=("POST",))
    for status in (302, 308):
        assert json.loads(changed(client, f"/status/{status}")[1]) == {"status": status}


def test_a_change_is_not_cut_off_by_its_slot_cale_06(proxy, echo):
    """A decoy would be taken for a change that was not made; it takes as many slots as it takes."""
    edge, client = proxy(echo, methods=("POST",), slot_s=0.25)
    begun = time.monotonic()
    assert json.loads(changed(client, "/slow")[1])["method"] == "POST"
    assert time.monotonic() - begun >= 0.5, "at the end of a slot"
    assert "decoy" not in edge.log()[-1]
    client.get("/slow")
    assert edge.log()[-1]["decoy"] is True, "reading has no such reason"


@pytest.mark.slow
def test_the_owner_of_a_change_is_told_that_nobody_knows_what_became_of_it_cale_06(make_site, make_client):
    """Nobody else gets that far: for others the same failure is a decoy."""
    site = make_site(methods=("POST",), slot_s=0.2)
    owner = make_client(site)
    assert owner.register(site.authorization) == 200
    owner.login = site.authorization
    site.roles["origin"].stop()
    status, said = changed(owner, "/resource")
    assert (status, b"may have been made" in said) == (502, True)
    assert "origin" not in said.decode()
    assert owner.get("/resource")[0] == 200
    assert owner.send("POST", "/resource", [("CALE-GUID", STRANGER), *owner.login.items()], b"x")[0] == 200


def test_too_large_an_answer_is_an_encrypted_502(proxy, echo):
    _edge, client = proxy(echo, settings={"body_bytes": 100_000})
    assert json.loads(client.read("/large")) == {"error": 502}


def test_the_largest_answer_of_the_edge_is_not_too_large_for_the_client(proxy, echo):
    """As both are if nothing is said."""
    edge, client = proxy(echo)
    trust = ServerTrust(tuple(x509.load_pem_x509_certificates(Path(str(edge.facts["ca_file"])).read_bytes())))
    with CaleClient(edge.url, trust, client.key, guid=client.guid) as sdk:
        assert sdk.get("/mebibyte").content == bytes(1024 * 1024)
    with requests.Session() as session:
        session.mount(edge.url, HardwareTlsAdapter(trust))
        session.auth = CaleAuth(client.key, client.guid, origin=edge.url)
        assert session.get(f"{edge.url}/mebibyte").content == bytes(1024 * 1024)


def test_scopes_hold_in_front_of_an_upstream_cale_56(proxy, echo):
    _edge, client = proxy(echo, scopes={"/admin": "admin"})
    assert json.loads(client.read("/admin")) == {"error": 403}
    assert json.loads(client.read("/%61dmin/x")) == {"error": 403}
    assert client.get("/x/../admin")[0] == 400
    assert json.loads(client.read("/ordinary"))["path"] == "/ordinary"


def test_only_reading_unless_allowed_and_proven_cale_06(proxy, echo):
    _edge, client = proxy(echo)
    status, fields, _body = client.send("POST", "/a", [("CALE-GUID", client.guid)], b"x")
    assert (status, dict(fields)["allow"]) == (405, "GET, HEAD")
    assert client.send("HEAD", "/a", [("CALE-GUID", client.guid)])[0] == 200


def test_a_second_proof_of_the_same_owner_lets_change_cale_06(proxy, echo):
    edge, client = proxy(echo, methods=("POST",))
    guid = [("CALE-GUID", client.guid), ("Content-Type", "text/plain")]
    for proof, status in (([], 401), ([("Authorization", "Bearer wrong")], 401)):
        assert client.send("POST", "/a", guid + proof, b"data")[0] == status
    # another one's proof opens nothing, and does not say so
    status, _fields, body = client.send("POST", "/a", [*guid, ("Authorization", "Bearer o")], b"data")
    assert status == 200
    assert b"data" not in (opened(client.key, body, client.directory) or b"")
    assert edge.log()[-1]["reason"] == "the second proof is of somebody else"
    status, _fields, body = client.send("POST", "/a", [*guid, *client.login.items()], b"data")
    said = json.loads(opened(client.key, body, client.directory))
    assert (said["method"], said["body"], dict(said["fields"])["content-type"]) == ("POST", "data", "text/plain")
    assert "authorization" not in dict(said["fields"])


@pytest.mark.slow
def test_an_upstream_that_hangs_or_is_not_there():
    with (
        RawServer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", hang=True) as server,
        pytest.raises(HopTimeoutError),
    ):
        Upstream(server.url, timeout_s=0.5)(Request("GET", "/"))
    with pytest.raises(HopUnreachableError):
        Upstream(server.url, timeout_s=0.5)(Request("GET", "/"))


@pytest.mark.parametrize("url", ["https://x", "http://", "x:80", "http://u:p@x/", "http://x/?q", "http://x/#f"])
def test_upstreams_that_cannot_be(url):
    with pytest.raises(ValueError, match="HOST:PORT"):
        Upstream(url)


def test_owner_header_has_to_be_a_name():
    with pytest.raises(ValueError, match="header"):
        Upstream("http://x", owner_header="a: b")


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length: 0x4\r\n",
        b"Content-Length: 4\r\n Content-Length: 0\r\n",
        b"X: a\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ],
)
def test_no_second_request_hides_in_the_first(proxy, framing):
    """RFC 9112 section 11.2: one request, one framing; what is doubtful is refused and the connection ended."""
    with RawServer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as upstream:
        edge, client = proxy(upstream.url)
        context = ssl.create_default_context(cafile=str(edge.facts["ca_file"]))
        request = b"GET /first HTTP/1.1\r\nHost: x\r\nCALE-GUID: " + client.guid.encode() + b"\r\n" + framing + b"\r\n"
        with (
            socket.create_connection(("127.0.0.1", edge.port), 5) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as tls,
        ):
            tls.sendall(request + b"0\r\n\r\n" + SMUGGLED)
            answer = b""
            with suppress(OSError):
                while data := tls.recv(65536):
                    answer += data
        assert answer.startswith(b"HTTP/1.1 400")
        assert answer.count(b"HTTP/1.1") == 1
        assert not any(b"smuggled" in received for received in upstream.received)


def test_a_target_cannot_end_its_line(proxy, echo):
    """Whatever is percent-encoded in the target stays encoded on its way inside."""
    _edge, client = proxy(echo)
    assert client.get("/a%0d%0aX-Injected:%20y")[0] == 400
    said = json.loads(client.read("/a?q=%0d%0aX-Injected:%20y"))
    assert said["path"] == "/a?q=%0d%0aX-Injected:%20y"
    assert "x-injected" not in dict(said["fields"])
