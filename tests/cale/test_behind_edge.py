"""Errors of servers behind the edge device arrive encrypted, in a success; they are errors all the same (CALE-05)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec

from device_sdk.client.cale import CaleAuth, CaleClient, CaleExchange
from device_sdk.errors import BehindEdgeError, HttpStatusError, NotForUsError
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.cale.behind import error_status
from tests.cale.parts import GUID
from tests.cale.scripted import DRAFT_HEADERS, ScriptedServer, envelope_answer
from tests.cms.messages import encrypt, write_certificate

BAD_GATEWAY = b'{"error": 502}\n'


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def certificate(key: PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("certificate"), key.public_key())


@pytest.fixture
def edge(tmp_path: Path, certificate: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(tmp_path) as server:
        server.answers["/broken"] = envelope_answer(encrypt(BAD_GATEWAY.ljust(256, b"\n"), certificate))
        server.answers["/fine"] = envelope_answer(encrypt(b'{"kWh": 4711}', certificate))
        yield server


@pytest.fixture
def session(edge: ScriptedServer, key: PrivateKey) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(edge.ca_file)
        session.auth = CaleAuth(key, GUID, origin=edge.url)
        yield session


@pytest.mark.parametrize(
    ("plaintext", "status"),
    [
        (BAD_GATEWAY, 502),
        (b'{"error": 404}', 404),
        (b' \n{\t"error" :400 }\r\n\n\n', 400),
        (b'{"error":599}' + b"\n" * 65536, 599),
        (b'{"error": 399}', None),
        (b'{"error": 600}', None),
        (b'{"error": 5020}', None),
        (b'{"error": 502.0}', None),
        (b'{"error": 5e2}', None),
        (b'{"error": -502}', None),
        (b'{"error": "502"}', None),
        (b'{"error": [502]}', None),
        (b'{"error": true}', None),
        (b'{"error": 502, "of": 7}', None),
        (b'{"error": 502, "error": 404}', None),
        (b'{"errors": 502}', None),
        (b'[{"error": 502}]', None),
        (b'{"error": 502}{}', None),
        (b'{"error": 502}\x0b', None),
        (b'{"error": 502}\x00', None),
        (b'\xef\xbb\xbf{"error": 502}', None),
        (b"{}", None),
        (b"502", None),
        (b"", None),
    ],
)
def test_what_is_an_error(plaintext: bytes, status: int | None) -> None:
    """One member of that name, an integer from 400 to 599, and white space; everything else is a document."""
    assert error_status(plaintext) == status


def test_the_client_raises(client: CaleClient) -> None:
    """A path that the reference server has not; the revocation watch knows that the answer opened."""
    with pytest.raises(BehindEdgeError, match="behind the edge device answered 404") as caught:
        client.get("/nothing", check=json.loads)
    assert isinstance(caught.value, HttpStatusError)
    assert (caught.value.status_code, caught.value.exit_code) == (404, 7)
    assert caught.value.url == f"{client.origin}/nothing"
    assert "the registration is sound" in str(caught.value.hint)
    assert client.get("/resource").content


def test_a_check_does_not_hide_it(client: CaleClient) -> None:
    """The check is about documents; an error is none."""
    with pytest.raises(BehindEdgeError):
        client.get("/nothing", check=lambda content: json.loads(content)["foo"])


def test_it_counts_as_opened(client: CaleClient) -> None:
    def no(_: bytes) -> None:
        raise ValueError

    for _ in range(5):
        with pytest.raises(NotForUsError):
            client.get("/resource", check=no)
        with pytest.raises(NotForUsError):
            client.get("/resource", check=no)
        with pytest.raises(BehindEdgeError):
            client.get("/nothing")
    assert not client.suspects_revocation


@pytest.mark.parametrize("stream", [False, True])
def test_requests_sees_the_status(session: requests.Session, edge: ScriptedServer, stream: bool) -> None:
    response = session.get(edge.url + "/broken", stream=stream)
    assert (response.status_code, response.ok) == (502, False)
    assert response.reason == "Bad Gateway, behind the edge device"
    with pytest.raises(requests.HTTPError, match="502 Server Error: Bad Gateway, behind the edge device"):
        response.raise_for_status()
    assert response.json() == {"error": 502}
    assert session.get(edge.url + "/fine", stream=stream).json() == {"kWh": 4711}
    auth = session.auth
    assert isinstance(auth, CaleAuth)
    assert not auth.suspects_revocation


@pytest.mark.parametrize("stream", [False, True])
def test_a_check_of_requests_does_not_hide_it(
    session: requests.Session, edge: ScriptedServer, key: PrivateKey, stream: bool
) -> None:
    auth = CaleAuth(key, GUID, origin=edge.url, check=lambda content: json.loads(content)["kWh"])
    assert session.get(edge.url + "/broken", auth=auth, stream=stream).status_code == 502
    assert session.get(edge.url + "/fine", auth=auth, stream=stream).status_code == 200


def test_every_hook_sees_the_status(session: requests.Session, edge: ScriptedServer) -> None:
    seen: list[int] = []
    session.get(edge.url + "/broken", hooks={"response": lambda response, **_: seen.append(response.status_code)})
    assert seen == [502]


def test_the_exchange_raises(key: PrivateKey, certificate: Path) -> None:
    message, headers = encrypt(BAD_GATEWAY, certificate), [("Content-Type", "application/pkcs7-mime")]
    exchange = CaleExchange(key, GUID, "https://edge.example")
    with pytest.raises(BehindEdgeError) as caught:
        exchange.open(200, headers, message, path="/broken")
    assert (caught.value.status_code, caught.value.url) == (502, "https://edge.example/broken")
    assert caught.value.__context__ is None


def test_services_whose_documents_look_like_that(
    edge: ScriptedServer, session: requests.Session, key: PrivateKey, certificate: Path
) -> None:
    """The option gives the document as it is, to the caller's check, too."""
    padded = BAD_GATEWAY.ljust(256, b"\n")
    exchange = CaleExchange(key, GUID, "https://edge.example", encrypted_errors=False)
    assert exchange.open(200, [], encrypt(BAD_GATEWAY, certificate)) == BAD_GATEWAY
    auth = CaleAuth(key, GUID, origin=edge.url, encrypted_errors=False)
    for stream in (False, True):
        response = session.get(edge.url + "/broken", auth=auth, stream=stream)
        assert (response.status_code, response.reason, response.content) == (200, "OK", padded)
    strict = CaleAuth(
        key, GUID, origin=edge.url, encrypted_errors=False, check=lambda content: json.loads(content)["kWh"]
    )
    with pytest.raises(NotForUsError):
        session.get(edge.url + "/broken", auth=strict)


def test_an_encrypted_error_of_the_edge_itself(
    session: requests.Session, edge: ScriptedServer, certificate: Path
) -> None:
    """What comes encrypted with a status of its own says which one counts: the inner one is the service's."""
    message = encrypt(b'{"error": 403}\n', certificate)
    edge.answers["/refused"] = envelope_answer(message, DRAFT_HEADERS, b"502 Bad Gateway")
    response = session.get(edge.url + "/refused")
    assert (response.status_code, response.reason) == (403, "Forbidden, behind the edge device")
