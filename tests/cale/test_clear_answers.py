"""What comes in the clear from the registered origin is a refusal, a redirect without a body, or an error (CALE-10)."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from device_sdk.client.cale import CaleAuth, CaleClient, CaleExchange, RevocationPolicy
from device_sdk.errors import DeviceSdkError, LocalProtocolError, NotForUsError, ResponseTooLargeError, TransportError
from device_sdk.model.keys import PrivateKey
from device_sdk.model.trust import ServerTrust
from device_sdk.protocols.cale.requests import resource_request
from tests.cale.parts import ANSWER, GUID, RESOURCE, VECTORS
from tests.cale.scripted import PLAIN_HEADERS, ScriptedServer, answer, envelope_answer, redirect
from tests.transports.bad_urls import whole_text

FORGED = b'{"balance": 666}'
JSON = b"Content-Type: application/json\r\n"


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(tmp_path, {"/resource": envelope_answer(RESOURCE)}) as server:
        yield server


@pytest.fixture
def elsewhere(edge: ScriptedServer, tmp_path: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(tmp_path) as server:
        yield server


@pytest.fixture
def session(edge: ScriptedServer, key: PrivateKey) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(edge.ca_file)
        session.auth = CaleAuth(key, GUID, origin=edge.url, limit_bytes=50_000)
        yield session


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [200, 203, 205, 206, 226, 299, 300, 303, 305, 307, 399, 600, 700, 999])
def test_cale_10_no_success_in_the_clear(
    session: requests.Session, edge: ScriptedServer, status: int, stream: bool
) -> None:
    """Whatever requests would call `ok`; the same status with an encrypted answer is one."""
    edge.answers["/x"] = answer(FORGED, JSON, b"%d Forged" % status)
    with pytest.raises(NotForUsError):
        session.get(edge.url + "/x", stream=stream)
    edge.answers["/x"] = envelope_answer(RESOURCE, status=b"%d Real" % status)
    assert session.get(edge.url + "/x", stream=stream).content == ANSWER


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_content_have_none(
    session: requests.Session, edge: ScriptedServer, status: int, stream: bool
) -> None:
    """RFC 9110 section 6.4.1: whatever is sent after them."""
    edge.answers["/x"] = answer(FORGED, JSON + b"Connection: close\r\n", b"%d Forged" % status)
    response = session.get(edge.url + "/x", stream=stream)
    assert (response.status_code, response.content) == (status, b"")


@pytest.mark.parametrize("status", [400, 404, 451, 500, 599])
def test_refusals_are_handed_over(session: requests.Session, edge: ScriptedServer, status: int) -> None:
    edge.answers["/x"] = answer(b"no", JSON, b"%d No" % status)
    response = session.get(edge.url + "/x")
    assert (response.ok, response.content) == (False, b"no")


@pytest.mark.parametrize("stream", [False, True])
def test_cale_10_away_and_back(
    session: requests.Session, edge: ScriptedServer, elsewhere: ScriptedServer, stream: bool
) -> None:
    """A round through another origin loses the GUID, and gains nothing: what our own origin says is encrypted or no answer."""
    edge.answers["/x"] = redirect(elsewhere.url + "/back")
    elsewhere.answers["/back"] = redirect(edge.url + "/y")
    edge.answers["/y"] = answer(FORGED, JSON)
    with pytest.raises(NotForUsError):
        session.get(edge.url + "/x", stream=stream)
    edge.answers["/y"] = envelope_answer(RESOURCE)
    assert session.get(edge.url + "/x", stream=stream).content == ANSWER
    edge.answers["/y"] = answer(b"no", JSON, b"400 No GUID")
    assert session.get(edge.url + "/x", stream=stream).status_code == 400
    assert [request.headers.get("cale-guid") for request in edge.received] == [GUID, None] * 3


@pytest.mark.parametrize("stream", [False, True])
def test_the_body_of_a_redirect_is_nobody_s(session: requests.Session, edge: ScriptedServer, stream: bool) -> None:
    edge.answers["/x"] = answer(FORGED, JSON + b"Location: /resource\r\n", b"302 Found")
    response = session.get(edge.url + "/x", stream=stream, allow_redirects=False)
    assert (response.status_code, response.content) == (302, b"")
    assert response.next is not None
    followed = session.get(edge.url + "/x", stream=stream)
    assert (followed.history[0].content, followed.content) == (b"", ANSWER)


LARGE = {
    "gzip": (b"Content-Encoding: gzip\r\n", gzip.compress(bytes(20_000_000))),
    "length": (b"", bytes(400_000)),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("where", ["home", "elsewhere", "back"])
def test_redirects_are_bounded(
    session: requests.Session,
    edge: ScriptedServer,
    elsewhere: ScriptedServer,
    stream: bool,
    body: tuple[bytes, bytes],
    where: str,
) -> None:
    """requests reads the body of every redirect into memory, with `stream=True`, too."""
    headers, content = body
    large = answer(content, headers + b"Location: %s/resource\r\n" % edge.url.encode(), b"302 Found")
    edge.answers["/away"] = redirect(elsewhere.url + ("/large" if where == "elsewhere" else "/back"))
    elsewhere.answers["/back"] = redirect(edge.url + "/large")
    edge.answers["/large"] = elsewhere.answers["/large"] = large
    with pytest.raises(ResponseTooLargeError):
        session.get(edge.url + ("/large" if where == "home" else "/away"), stream=stream)


def test_whoami_from_elsewhere(session: requests.Session, edge: ScriptedServer, elsewhere: ScriptedServer) -> None:
    """Our own certificate is no secret; only its encryption by our own origin says anything."""
    auth = session.auth
    assert isinstance(auth, CaleAuth)
    certificate = (VECTORS / "validation-response.cert.pem").read_bytes()
    edge.answers["/whoami"] = redirect(elsewhere.url + "/whoami")
    elsewhere.answers["/whoami"] = answer(certificate, b"Content-Type: application/x509\r\n")
    with pytest.raises(NotForUsError):
        auth.whoami(session)


@pytest.mark.slow
def test_no_query_in_errors(session: requests.Session, edge: ScriptedServer, key: PrivateKey) -> None:
    """Programs put tokens into queries; errors end up in logs, and in other people's mail."""
    told: list[DeviceSdkError] = []

    def refused(kind: type[DeviceSdkError], path: str, **options: object) -> None:
        with pytest.raises(kind) as caught:
            session.get(edge.url + path, **options)  # type: ignore[arg-type]
        told.append(caught.value)

    for target in ("/resource?token=SECRETPW&x=@y", "/resource?token=SECRETPW"):
        for stream in (False, True):
            edge.answers[target] = answer(FORGED, PLAIN_HEADERS)
            refused(NotForUsError, target + "#SECRETPW", stream=stream)
            edge.answers[target] = answer(bytes(300_000), PLAIN_HEADERS)
            auth = CaleAuth(key, GUID, origin=edge.url, limit_bytes=100, stream_limit_bytes=100)
            refused(ResponseTooLargeError, target, stream=stream, auth=auth)
        edge.answers[target] = redirect("http://localhost/?token=SECRETPW")
        refused(DeviceSdkError, target)
        with pytest.raises(LocalProtocolError) as caught:
            session.post(edge.url + target)
        told.append(caught.value)
    assert told[0].facts()["url"] == edge.url + "/resource" or "***" in str(told[0])
    assert not any("SECRETPW" in whole_text(error) for error in told)


def test_no_query_in_errors_of_the_client(edge: ScriptedServer, key: PrivateKey) -> None:
    from cryptography import x509

    trust, path = ServerTrust(tuple(x509.load_pem_x509_certificates(edge.ca_file.read_bytes()))), "/x?token=SECRETPW"
    told: list[DeviceSdkError] = []
    with CaleClient(edge.url, trust, key, guid=GUID, revocation=RevocationPolicy()) as client:
        for response in (
            answer(FORGED, PLAIN_HEADERS),
            answer(b"no", b"", b"401 No"),
            answer(b"no", b"", b"403 No"),
            redirect("https://user:SECRETPW@localhost/?token=SECRETPW"),
            answer(bytes(3_000_000), b""),
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nMII",
            b"no HTTP at all\r\n\r\n",
        ):
            edge.answers[path] = response
            with pytest.raises(DeviceSdkError) as caught:
                client.get(path)
            told.append(caught.value)
        edge.answers[path] = envelope_answer(RESOURCE)
        assert client.get(path).url == edge.url + "/x"
        for bad in ("//x?token=SECRETPW", "x?token=SECRETPW"):
            with pytest.raises(LocalProtocolError) as mistaken:
                client.get(bad)
            told.append(mistaken.value)
    with CaleClient("https://localhost:1", trust, key, guid=GUID) as client, pytest.raises(TransportError) as failed:
        client.get(path)
    with pytest.raises(LocalProtocolError) as method:
        resource_request(path, GUID, method="POST")
    with pytest.raises(NotForUsError) as opened:
        CaleExchange(key, GUID, edge.url).open(200, (), FORGED, path=path)
    assert not any("SECRETPW" in whole_text(error) for error in (*told, failed.value, method.value, opened.value))
