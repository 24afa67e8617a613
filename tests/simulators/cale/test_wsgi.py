"""The roles as parts of WSGI servers (CALE-81), judged by wsgiref.validate and run behind wsgiref over mutual TLS."""

from __future__ import annotations

import io
import json
import ssl
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from cryptography import x509
from device_sdk_simulators.ca.directory import single_authority
from device_sdk_simulators.cale.authorization import AuthorizationServer
from device_sdk_simulators.cale.certificates import AUTHORITY_NAME, Owner, make_certificate
from device_sdk_simulators.cale.decoy import Decoys
from device_sdk_simulators.cale.edge import EdgeDevice
from device_sdk_simulators.cale.headers import certificate_header
from device_sdk_simulators.cale.identity import Tokens, with_tokens
from device_sdk_simulators.cale.pki import KeyFiles, make_pki
from device_sdk_simulators.cale.records import CsrRecord, DatabaseRecords, MemoryRecords, RecordStore
from device_sdk_simulators.cale.remote import HopSettings, RemoteHop
from device_sdk_simulators.cale.wsgi import (
    OWNER,
    AuthorizationApp,
    EdgeApp,
    OriginationMiddleware,
    ResourceMiddleware,
    listed,
)
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Client as Known
from device_sdk_simulators.http.messages import Request
from device_sdk_simulators.policy import Policy

from device_sdk.wire.binary_http import read_response
from tests.simulators.cale.support import KEYS, STRANGER


def application(environ, start_response):
    """Knows nothing of CALE but whose data it gives."""
    owner = environ[OWNER]
    assert not [name for name in environ if name.startswith(("HTTP_CALE", "HTTP_CIPHER", "HTTP_CLIENT"))]
    if environ["PATH_INFO"] == "/broken":
        raise RuntimeError("a bug")
    if environ["PATH_INFO"] == "/missing":
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"secret reasons"]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    said = {
        "owner": owner.name,
        "path": environ["PATH_INFO"],
        "query": environ["QUERY_STRING"],
        "user": environ["REMOTE_USER"],
        "body": body,
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]


class Handler(WSGIRequestHandler):
    """Gives the variables of mod_ssl."""

    protocol_version = "HTTP/1.1"

    def get_environ(self):
        environ = super().get_environ()
        environ.pop("HTTPS", None)
        environ |= {"SSL_PROTOCOL": self.connection.version(), "SSL_CIPHER": self.connection.cipher()[0]}
        der = self.connection.getpeercert(binary_form=True)
        if der:
            environ |= {"SSL_CLIENT_VERIFY": "SUCCESS", "SSL_CLIENT_CERT": ssl.DER_cert_to_PEM_cert(der)}
        return environ

    def log_message(self, *_words: object) -> None:
        pass


class Server(ThreadingMixIn, WSGIServer):
    """wsgiref over TLS; each connection in a thread."""

    daemon_threads = True

    def __init__(self, app, files: KeyFiles, *, mutual: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.certificate, files.key)
        if mutual:
            self._context.load_verify_locations(files.anchors)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self.set_app(validator(app))
        self.errors: list[str] = []
        self.url = f"https://localhost:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def finish_request(self, request, client_address):
        with self._context.wrap_socket(request, server_side=True) as tls:
            super().finish_request(tls, client_address)

    def handle_error(self, request, client_address):
        self.errors.append(repr(sys.exc_info()[1]))

    def end(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


@pytest.fixture
def wsgi(tmp_path) -> Iterator[dict[str, Server]]:
    """Four WSGI servers: edge, authz, origin in front of an application, and a resource server."""
    state, policy = tmp_path / "w", Policy()
    make_pki(state, datetime.now(UTC))
    authority = single_authority(state / "authz" / "cale", AUTHORITY_NAME, "ec-p256", datetime.now(UTC))
    issuer = authority.certificate

    def clock() -> datetime:
        return datetime.now(UTC)

    def hop(role: str) -> RemoteHop:
        files = KeyFiles.below(state / "edge" / "hop")
        return RemoteHop(HopSettings(servers[role].url, role, files.certificate, files.key, files.anchors))

    def files(role: str) -> KeyFiles:
        return KeyFiles.below(state / role / "hop")

    servers: dict[str, Server] = {}
    authorization = AuthorizationServer(authority, MemoryRecords(), policy, clock)
    servers["authz"] = Server(AuthorizationApp(authorization, listed(["edge"])), files("authz"), mutual=True)
    origin = OriginationMiddleware(validator(application), issuer, policy, clock, listed(["edge"]))
    servers["origin"] = Server(origin, files("origin"), mutual=True)
    resource = ResourceMiddleware(application, issuer, policy, clock, listed(["origin"]))
    servers["resource"] = Server(resource, files("resource"), mutual=True)
    database = Database(tmp_path / "edge.sqlite")
    identify = with_tokens(Tokens({"t": "ann"}), lambda request: Known())
    hops = [hop("authz"), hop("origin")]
    edge = EdgeDevice(*hops, identify, policy, Decoys(database, policy, clock))
    servers["edge"] = Server(EdgeApp(edge), KeyFiles.below(state / "edge" / "tls"), mutual=False)
    servers["edge"].ca_file = str(state / "edge" / "tls" / "anchors.pem")
    servers["edge"].authority, servers["edge"].state = authority, state
    yield servers
    for each in reversed(servers.values()):
        each.end()
    for each in hops:
        each.close()
    database.close()
    assert [error for each in servers.values() for error in each.errors if "SSL" not in error] == []


@pytest.fixture
def client(wsgi, make_client):
    made = make_client(url=wsgi["edge"].url, ca_file=wsgi["edge"].ca_file)
    assert made.register({"Authorization": "Bearer t"}) == 200
    return made


def test_everything_behind_wsgi_servers_cale_81(client):
    said = json.loads(client.read("/data/%C3%A4?x=1&y=%2F"))
    assert said == {"owner": "ann", "path": "/data/Ã¤", "query": "x=1&y=%2F", "user": "ann", "body": ""}
    assert x509.load_pem_x509_certificate(client.read("/whoami")).public_key() == client.key.public_key()
    assert b"ann" not in (client.read("/data", guid=STRANGER) or b"")
    assert client.send("DELETE", "/registration", [("CALE-GUID", client.guid), ("Authorization", "Bearer t")])[0] == 204
    assert b"ann" not in (client.read("/data") or b"")


def test_errors_of_the_application_are_encrypted(client):
    assert json.loads(client.read("/missing")) == {"error": 404}
    assert json.loads(client.read("/broken")) == {"error": 500}


def test_media_type_and_status_of_an_application_arrive_cale_81(wsgi, make_client):
    """For clients that take whole responses."""
    client = make_client(url=wsgi["edge"].url, ca_file=wsgi["edge"].ca_file)
    assert client.register({"Authorization": "Bearer t"}, whole=True) == 200
    head, content = read_response(client.read("/data"))
    assert (head.status, dict(head.fields)["content-type"]) == (200, "application/json")
    assert json.loads(content)["owner"] == "ann"
    assert read_response(client.read("/missing"))[0].status == 404


def test_refusals_over_wsgi(client):
    assert client.send("POST", "/data", [("CALE-GUID", client.guid)], b"x")[0] == 405
    assert client.send("GET", "/data")[0] == 400
    assert client.register({}) == 401


def test_peers_over_wsgi(wsgi):
    """Listed, with the right CA, or nothing."""
    state, authority = wsgi["edge"].state, wsgi["edge"].authority
    now = datetime.now(UTC)
    times = (now - timedelta(seconds=5), now + timedelta(seconds=10))

    def ask(role: str, caller: str, *fields: tuple[str, str]) -> tuple[int, bytes]:
        files = KeyFiles.below(state / caller / "hop")
        hop = RemoteHop(HopSettings(wsgi[role].url, role, files.certificate, files.key, files.anchors))
        shown = certificate_header(make_certificate(authority, Owner("bob"), KEYS["rsa"].public_key(), *times))
        response = hop(Request("GET", "/data", [shown, *fields]))
        hop.close()
        return response.status, response.body

    cipher = ("Cipher", "TLS_AES_128_GCM_SHA256")
    assert ask("origin", "edge", cipher)[0] == 200
    assert ask("origin", "resource", cipher)[0] == 403
    status, body = ask("resource", "origin")
    assert (status, json.loads(body)["owner"]) == (200, "bob")
    assert ask("resource", "edge")[0] == 403
    assert ask("resource", "origin", cipher)[0] == 403
    assert ask("resource", "origin", ("Client-Cert", ":AAAA:"))[0] == 403
    assert ask("authz", "origin")[0] == 403


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"CONTENT_LENGTH": "abc"}, "400"),
        ({"CONTENT_LENGTH": "-1"}, "400"),
        ({"CONTENT_LENGTH": "99999999999999"}, "413"),
        ({"CONTENT_LENGTH": "10"}, "400"),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, "411"),
        ({"SSL_CIPHER": "DES-CBC3-SHA"}, "400"),
        ({"SSL_CIPHER": ""}, "400"),
    ],
)
def test_what_a_wsgi_server_lets_through(tmp_path, changes, status):
    database = Database(tmp_path / "edge.sqlite")
    policy = Policy()

    def unused(request: Request):
        pytest.fail("not asked")

    edge = EdgeDevice(
        unused, unused, lambda request: Known("ann"), policy, Decoys(database, policy, lambda: datetime.now(UTC))
    )
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/registration",
        "wsgi.input": io.BytesIO(b"short"),
        "CONTENT_LENGTH": "5",
        "SSL_CIPHER": "TLS_AES_128_GCM_SHA256",
    }
    setup_testing_defaults(environ)
    environ |= changes
    said = []
    list(EdgeApp(edge)(environ, lambda *words: said.append(words)))
    database.close()
    assert said[0][0].startswith(status), said


@pytest.mark.parametrize("said", ["NONE", "GENEROUS", "FAILED:certificate has expired", "success", "", None])
def test_a_certificate_that_the_server_did_not_verify_is_nobody_s_cale_81(tmp_path, said):
    """As mod_ssl gives it with SSLVerifyClient optional_no_ca; the same certificate, verified, is that of a peer."""
    make_pki(tmp_path, datetime.now(UTC))
    environ = {"SSL_CLIENT_CERT": KeyFiles.below(tmp_path / "edge" / "hop").certificate.read_text()}
    peer_of = listed(["edge"])
    assert peer_of(environ | {"SSL_CLIENT_VERIFY": "SUCCESS"}) == "edge"
    assert peer_of(environ | ({} if said is None else {"SSL_CLIENT_VERIFY": said})) is None


def test_a_client_cannot_set_what_tls_said(client):
    """SSL_CLIENT_CERT comes from the server; a field of that name becomes HTTP_SSL_CLIENT_CERT."""
    client.close()
    assert (
        client.send("POST", "/registration", [("SSL-CLIENT-VERIFY", "SUCCESS"), ("SSL_CLIENT_CERT", "x")], b"x")[0]
        == 401
    )


@pytest.mark.parametrize("kind", ["memory", "database"])
def test_stores_of_records(tmp_path, kind):
    """What CALE-81 asks of a store, for both that exist and for any other."""
    database = Database(tmp_path / "records.sqlite")
    store: RecordStore = MemoryRecords() if kind == "memory" else DatabaseRecords(database)
    now = datetime.now(UTC)
    assert store.find("a") is None
    assert store.first(2) == []
    for guid in ("m", "c"):
        store.add(CsrRecord(guid, f"owner of {guid}", b"csr " + guid.encode(), now))
    assert store.find("c") == CsrRecord("c", "owner of c", b"csr c", now)
    assert [one.guid for one in store.first(2)] == ["m", "c"]
    assert [one.guid for one in store.first(1)] == ["m"]
    assert [one.guid for one in store.first(2, ("owner of c", "somebody"))] == ["c"]
    assert not store.revoke("c", "somebody", now)
    assert not store.revoke("x", None, now)
    assert store.revoke("c", "owner of c", now)
    assert not store.revoke("c", None, now)
    assert store.find("c").revoked
    assert not store.find("m").revoked
    assert store.revoke("m", None, now)
    assert [(one.guid, one.revoked) for one in store.first(2)] == [("m", True), ("c", True)]
    assert store.secret("a") == store.secret("a") != store.secret("b")
    assert len(store.secret("a")) == 32
    assert [store.count(one) for one in ("owner of c", "owner of m", "somebody")] == [1, 1, 0]
    database.close()
    assert "guid" not in repr(CsrRecord("g", "o", b"", now))
