"""CaleAuth in programs that use requests: one line, and everything else as before."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.cale import CaleAuth, CaleClient
from device_sdk.errors import (
    ConfigurationError,
    LocalProtocolError,
    NotForUsError,
    RedirectRefusedError,
    ResponseTooLargeError,
)
from device_sdk.keystores.registry import create_key
from device_sdk.model.credentials import Credentials
from device_sdk.model.keys import PrivateKey
from device_sdk.model.trust import ServerTrust
from device_sdk.state import StateDirectory
from device_sdk.transports.https.adapter import HardwareTlsAdapter
from tests.cale.parts import ANSWER, GUID, RESOURCE, SPEC, VECTORS
from tests.cale.scripted import (
    DRAFT_HEADERS,
    PLAIN_HEADERS,
    ScriptedServer,
    answer,
    envelope_answer,
    redirect,
)
from tests.cms.messages import encrypt, write_certificate


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(tmp_path, {"/resource": envelope_answer(RESOURCE)}) as server:
        yield server


@pytest.fixture
def elsewhere(edge: ScriptedServer, tmp_path: Path) -> Iterator[ScriptedServer]:
    """Another origin: the same host, another port."""
    with ScriptedServer(tmp_path, {"/resource": answer(b"in the clear", b"Content-Type: text/plain\r\n")}) as server:
        yield server


@pytest.fixture
def session(edge: ScriptedServer, key: PrivateKey) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(edge.ca_file)
        session.auth = CaleAuth(key, GUID, origin=edge.url)
        yield session


def test_b_2_7_the_draft_s_own_answer(session: requests.Session, edge: ScriptedServer) -> None:
    response = session.get(edge.url + "/resource")
    assert response.json() == {"foo": "bar"}
    assert response.text == '{"foo": "bar"}\n'
    assert b"".join(response.iter_content(4)) == response.content == ANSWER
    assert edge.received[0].headers["cale-guid"] == GUID
    assert "authorization" not in edge.received[0].headers


def test_headers_describe_the_plaintext(session: requests.Session, edge: ScriptedServer) -> None:
    edge.answers["/plain"] = envelope_answer(RESOURCE, PLAIN_HEADERS + b"X-Other: stays\r\n")
    draft, plain = session.get(edge.url + "/resource"), session.get(edge.url + "/plain")
    assert dict(draft.headers) == {"Content-Length": "15"}, "text/plain stands before every envelope"
    assert dict(plain.headers) == {"X-Other": "stays", "Content-Length": "15"}
    assert draft.encoding == "utf-8"
    assert plain.encoding == "utf-8"
    assert (draft.status_code, draft.reason, draft.url) == (200, "OK", edge.url + "/resource")


def test_cale_11_headers_lost_to_the_draft_s_folding(session: requests.Session, edge: ScriptedServer) -> None:
    """Printed without white space the second line ends what http.client reads; the body counts all the same."""
    printed = DRAFT_HEADERS.replace(b"\r\n smime", b"\r\nsmime")
    body = (VECTORS / "enveloped-b2.7.b64").read_bytes()
    edge.answers["/resource"] = (
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n" % len(body) + printed + b"\r\n" + body
    )
    assert session.get(edge.url + "/resource", headers={"Connection": "close"}).content == ANSWER


@pytest.mark.parametrize("headers", [PLAIN_HEADERS, DRAFT_HEADERS, DRAFT_HEADERS.replace(b";charset", b"; Charset")])
@pytest.mark.parametrize("stream", [False, True])
def test_no_charset_is_claimed_that_nobody_knows_cale_11(
    session: requests.Session, edge: ScriptedServer, tmp_path: Path, headers: bytes, stream: bool
) -> None:
    """The draft says text/plain;charset=UTF-8 before every envelope, whatever is inside."""
    certificate = write_certificate(tmp_path, session.auth._source.current().key.public_key())  # type: ignore[union-attr]
    for plaintext, encoding in (("Käse".encode("latin-1"), None), ("Käse".encode(), "utf-8"), (b"\x89PNG\xff", None)):
        edge.answers["/some"] = envelope_answer(encrypt(plaintext, certificate), headers)
        response = session.get(edge.url + "/some", stream=stream)
        assert (response.encoding, response.headers.get("Content-Type")) == (encoding, None)
        assert response.content == plaintext
    edge.answers["/some"] = envelope_answer(RESOURCE, b"Content-Type: application/json\r\n" + PLAIN_HEADERS)
    known = session.get(edge.url + "/some", stream=stream)
    assert (known.headers["Content-Type"], known.content) == ("application/json", ANSWER), "a server may say it outside"


def test_binary_plaintext_has_no_encoding(session: requests.Session, edge: ScriptedServer, tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path, session.auth._source.current().key.public_key())  # type: ignore[union-attr]
    edge.answers["/image"] = envelope_answer(encrypt(b"\x89PNG\xff\xfe", certificate), PLAIN_HEADERS)
    response = session.get(edge.url + "/image")
    assert response.content == b"\x89PNG\xff\xfe"
    assert response.encoding is None


@pytest.mark.parametrize(
    "body",
    [
        (VECTORS / "decoy-b2.3c.b64").read_bytes(),
        b"",
        b'{"foo": "bar"}',
        b"<html>Log in</html>",
        RESOURCE[:-1],
        (VECTORS / "enveloped-b1.3.b64").read_bytes()[:-40],
    ],
    ids=["decoy", "empty", "plaintext", "html", "truncated", "cut base64"],
)
@pytest.mark.parametrize("headers", [DRAFT_HEADERS, PLAIN_HEADERS, b"Content-Type: application/json\r\n", b""])
def test_cale_10_everything_else_is_not_for_us(
    session: requests.Session, edge: ScriptedServer, body: bytes, headers: bytes
) -> None:
    edge.answers["/resource"] = answer(body, headers)
    with pytest.raises(NotForUsError) as caught:
        session.get(edge.url + "/resource")
    assert caught.value.url == edge.url + "/resource"
    assert caught.value.__cause__ is None
    assert len(edge.received) == 1
    edge.answers["/resource"] = envelope_answer(RESOURCE)
    assert session.get(edge.url + "/resource").content == ANSWER, "the session goes on"


def test_cale_09_check(session: requests.Session, edge: ScriptedServer, key: PrivateKey) -> None:
    edge.answers["/other"] = envelope_answer((VECTORS / "enveloped-b1.3.der").read_bytes())
    auth = CaleAuth(key, GUID, origin=edge.url, check=json.loads)
    assert session.get(edge.url + "/resource", auth=auth).content == ANSWER
    with pytest.raises(NotForUsError):
        session.get(edge.url + "/other", auth=auth)


@pytest.mark.parametrize("status", [b"404 Not Found", b"502 Bad Gateway", b"403 Forbidden"])
def test_refusals_are_handed_over(session: requests.Session, edge: ScriptedServer, status: bytes) -> None:
    edge.answers["/gone"] = answer(b"no", b"Content-Type: text/plain\r\n", status)
    edge.answers["/gone-encrypted"] = envelope_answer(RESOURCE, status=status)
    edge.answers["/gone-decoy"] = answer(b"no", PLAIN_HEADERS, status)
    response = session.get(edge.url + "/gone")
    assert (response.status_code, response.content) == (int(status[:3]), b"no")
    for stream in (False, True):
        refused = session.get(edge.url + "/gone-encrypted", stream=stream)
        assert (refused.status_code, refused.reason) == (int(status[:3]), status[4:].decode()), "an error stays one"
        assert refused.content == ANSWER
        assert session.get(edge.url + "/gone", stream=stream).content == b"no"
    with pytest.raises(NotForUsError):
        session.get(edge.url + "/gone-decoy")


def test_head_and_no_content(session: requests.Session, edge: ScriptedServer) -> None:
    edge.answers["/head"] = b"HTTP/1.1 200 OK\r\n" + DRAFT_HEADERS + b"Content-Length: 671\r\n\r\n"
    edge.answers["/nothing"] = b"HTTP/1.1 204 No Content\r\n\r\n"
    assert session.head(edge.url + "/head").status_code == 200
    assert session.get(edge.url + "/nothing").status_code == 204
    assert all(request.headers["cale-guid"] == GUID for request in edge.received)


@pytest.mark.parametrize("chunked", [True, False])
def test_the_body_is_bounded(session: requests.Session, edge: ScriptedServer, key: PrivateKey, chunked: bool) -> None:
    if chunked:
        edge.answers["/big"] = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n" + b"M" * 65536 + b"\r\n" + b"0\r\n\r\n"
        )
    else:
        edge.answers["/big"] = answer(gzip.compress(b"M" * 10_000_000), b"Content-Encoding: gzip\r\n")
    auth = CaleAuth(key, GUID, origin=edge.url, limit_bytes=50_000)
    with pytest.raises(ResponseTooLargeError):
        session.get(edge.url + "/big", auth=auth)
    assert session.get(edge.url + "/resource", auth=auth).content == ANSWER


def test_stream_and_other_hooks(session: requests.Session, edge: ScriptedServer) -> None:
    seen: list[bytes] = []
    response = session.get(
        edge.url + "/resource", stream=True, hooks={"response": lambda r, **_: seen.append(r.content)}
    )
    assert list(response.iter_lines()) == [b'{"foo": "bar"}']
    assert seen == [ANSWER]


def test_redirect_at_home_keeps_the_guid(session: requests.Session, edge: ScriptedServer) -> None:
    edge.answers["/moved"] = redirect("/@moved-again")
    edge.answers["/@moved-again"] = redirect(edge.url.upper().replace("HTTPS", "https") + "/resource")
    response = session.get(edge.url + "/moved")
    assert response.content == ANSWER
    assert [request.headers.get("cale-guid") for request in edge.received] == [GUID] * 3


def test_redirect_elsewhere_loses_the_guid(
    session: requests.Session, edge: ScriptedServer, elsewhere: ScriptedServer
) -> None:
    edge.answers["/moved"] = redirect(elsewhere.url + "/resource")
    elsewhere.answers["/back"] = redirect(edge.url + "/resource")
    response = session.get(edge.url + "/moved")
    assert response.content == b"in the clear"
    assert response.headers["Content-Type"] == "text/plain"
    assert "cale-guid" not in elsewhere.received[0].headers
    edge.answers["/moved"] = redirect(elsewhere.url + "/back")
    session.get(edge.url + "/moved")
    assert "cale-guid" not in edge.received[-1].headers, "a GUID does not travel through another origin"


@pytest.mark.parametrize(
    "location",
    [
        "//localhost:{port}/resource",
        "https://localhost:{home}@localhost:{port}/resource",
        "https://localhost:{port}\\@localhost:{home}/resource",
        "https://localhost:{home}\\@localhost:{port}/resource",
        "https://localhost:{home}\\.localhost:{port}/resource",
        "https://localhost:{home}%5C@localhost:{port}/resource",
        "https://localhost:{home}#@localhost:{port}/resource",
        "https://localhost:{home}?@localhost:{port}/resource",
        "https://localhost:{home}:{port}/resource",
        "https://LOCALHOST:{port}/resource",
        "https:\\\\localhost:{port}/resource",
    ],
)
def test_redirects_that_look_like_home(
    session: requests.Session, edge: ScriptedServer, elsewhere: ScriptedServer, location: str
) -> None:
    edge.answers["/moved"] = redirect(location.format(home=edge.port, port=elsewhere.port))
    with contextlib.suppress(requests.RequestException, RedirectRefusedError, NotForUsError):
        session.get(edge.url + "/moved")
    assert all("cale-guid" not in request.headers for request in elsewhere.received)


def test_http_is_refused(session: requests.Session, edge: ScriptedServer, tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, tls=False) as plain:
        with pytest.raises(LocalProtocolError, match="https"):
            session.get(plain.url + "/resource")
        with pytest.raises(LocalProtocolError, match="https"):
            session.get(edge.url.replace("https", "http") + "/resource")
        edge.answers["/moved"] = redirect(plain.url + "/resource")
        with pytest.raises(RedirectRefusedError):
            session.get(edge.url + "/moved")
        assert plain.received == []


def test_other_origins_are_left_alone(
    session: requests.Session, edge: ScriptedServer, elsewhere: ScriptedServer
) -> None:
    response = session.get(elsewhere.url + "/resource")
    assert response.text == "in the clear"
    assert "cale-guid" not in elsewhere.received[0].headers
    assert edge.received == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_cale_06_only_reading(session: requests.Session, edge: ScriptedServer, key: PrivateKey, method: str) -> None:
    with pytest.raises(LocalProtocolError, match="CALE-06"):
        session.request(method, edge.url + "/resource")
    assert edge.received == []
    auth = CaleAuth(key, GUID, origin=edge.url, methods=("GET", method))
    headers = {"Authorization": "Bearer second-credential"}
    response = session.request(method, edge.url + "/resource", auth=auth, headers=headers)
    assert response.content == ANSWER
    assert edge.received[0].headers["authorization"] == "Bearer second-credential"


def test_errors_of_the_network_are_those_of_requests(session: requests.Session, edge: ScriptedServer) -> None:
    edge.answers["/cut"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nffff\r\nMIIB"
    with pytest.raises(requests.RequestException):
        session.get(edge.url + "/cut")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    auth = CaleAuth(session.auth._source.current().key, GUID, origin=f"https://localhost:{port}")  # type: ignore[union-attr]
    with pytest.raises(requests.ConnectionError):
        session.get(f"https://localhost:{port}/resource", auth=auth)


def test_what_cannot_be_configured(key: PrivateKey) -> None:
    for origin in ("http://localhost", "localhost", "", "ftp://localhost", "https://", "https://localhost:1\\@other:2"):
        with pytest.raises(ConfigurationError):
            CaleAuth(key, GUID, origin=origin)
    for guid in ("", "no", GUID + "\r\nX: y", GUID + "\n", "{" + GUID + "}"):
        with pytest.raises(ConfigurationError):
            CaleAuth(key, guid, origin="https://localhost")
    assert GUID not in repr(CaleAuth(key, GUID, origin="https://localhost"))


def test_with_the_reference_server(
    cale_server: ReferenceServer, trust: ServerTrust, credentials: Credentials, keys: dict[str, PrivateKey]
) -> None:
    """Registration and use in a program that trusts the device's own anchors."""
    auth = CaleAuth.register(cale_server.cale_url, trust, keys["ec-p256"], SPEC, credentials=credentials)
    with requests.Session() as session:
        session.mount(cale_server.cale_url, HardwareTlsAdapter(trust))
        session.auth = auth
        assert session.get(f"{cale_server.cale_url}/resource").json() == {"foo": "bar"}
        session.auth = CaleAuth(keys["ec-p256"], str(uuid.uuid4()), origin=cale_server.cale_url)
        with pytest.raises(NotForUsError):
            session.get(f"{cale_server.cale_url}/resource")


def test_from_state(cale_server: ReferenceServer, trust: ServerTrust, credentials: Credentials, tmp_path: Path) -> None:
    """Registered in one process, used in another: the state directory knows GUID, key and origin (CALE-13)."""
    state = StateDirectory(tmp_path / "state")
    with (
        create_key(f"file:{tmp_path}/key.pem", "ec-p256") as key,
        CaleClient(cale_server.cale_url, trust, key, credentials=credentials) as client,  # type: ignore[arg-type]
    ):
        state.save_cale_registration("default", client.register(SPEC))
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(cale_server.ca_file)
        session.auth = auth = CaleAuth.from_state(tmp_path / "state")
        assert session.get(f"{cale_server.cale_url}/resource").json() == {"foo": "bar"}
    auth.close()
    with pytest.raises(ConfigurationError, match="other"):
        CaleAuth.from_state(state, "other")
