"""CaleExchange: the draft's appendix B without any I/O, and under asyncio with a TLS of its own."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.cale import CaleExchange
from device_sdk.errors import (
    ConfigurationError,
    HttpStatusError,
    LocalProtocolError,
    NotForUsError,
    RedirectRefusedError,
)
from device_sdk.model.decryption import AUTHENTICATED
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.cale.exchange import open_registration
from tests.cale.parts import GUID, VECTORS
from tests.cale.scripted import ScriptedServer, answer, envelope_answer

HEADERS = [("content-type", "text/plain;charset=UTF-8, application/x-pkcs7-mime;\r\nsmime-type=enveloped-data")]


def printed(name: str) -> bytes:
    return (VECTORS / f"enveloped-{name}.b64").read_bytes()


@pytest.fixture
def exchange(key: PrivateKey) -> CaleExchange:
    return CaleExchange(key, GUID, "https://server.example.com")


def test_appendix_b_without_any_transport(exchange: CaleExchange, key: PrivateKey) -> None:
    """B.1.3, B.2.1, B.2.7, B.3.1, B.3.3 as printed."""
    url = "https://server.example.com/registration"
    assert open_registration(200, HEADERS, printed("b1.3"), key, url) == GUID
    request = exchange.request("/resource")
    assert (request.method, request.target, request.headers) == ("GET", "/resource", (("CALE-GUID", GUID),))
    assert exchange.headers == {"CALE-GUID": GUID}
    assert exchange.url("/resource?a=b c") == "https://server.example.com/resource?a=b%20c"
    assert exchange.open(200, HEADERS, printed("b2.7"), check=json.loads) == b'{"foo": "bar"}\n'
    certificate = exchange.open_whoami(200, HEADERS, printed("b3.3"))
    assert certificate.public_bytes(Encoding.PEM) == (VECTORS / "enveloped-b3.3.plain.cert.pem").read_bytes()


def test_refusals_and_decoys(exchange: CaleExchange, key: PrivateKey) -> None:
    with pytest.raises(NotForUsError, match="/there") as caught:
        exchange.open(200, HEADERS, (VECTORS / "decoy-b2.3c.b64").read_bytes(), path="/there")
    assert caught.value.__context__ is None
    with pytest.raises(HttpStatusError):
        exchange.open(503, [], b"")
    with pytest.raises(RedirectRefusedError):
        exchange.open(302, [("Location", "https://other.example/")], b"")
    with pytest.raises(NotForUsError):
        exchange.open_whoami(200, HEADERS, printed("b2.7"))
    strict = CaleExchange(key, GUID, "https://server.example.com", policy=AUTHENTICATED)
    for read in (
        lambda: strict.open(200, HEADERS, printed("b2.7")),
        lambda: strict.open_whoami(200, HEADERS, printed("b3.3")),
        lambda: open_registration(
            200, HEADERS, printed("b1.3"), key, "https://server.example.com/registration", policy=AUTHENTICATED
        ),
    ):
        with pytest.raises(NotForUsError):
            read()


def test_cale_09_a_check_is_looked_at(exchange: CaleExchange) -> None:
    """It sees the plaintext; whatever it raises makes one and the same error, with nothing behind it."""
    seen: list[bytes] = []
    assert exchange.open(200, HEADERS, printed("b2.7"), check=seen.append) == b'{"foo": "bar"}\n'
    assert seen == [b'{"foo": "bar"}\n']
    with pytest.raises(NotForUsError) as caught:
        exchange.open(200, HEADERS, printed("b2.7"), check=lambda plaintext: json.loads(plaintext)["bar"])
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_what_cannot_be(exchange: CaleExchange, key: PrivateKey) -> None:
    for origin in ("http://server.example.com", "https://", "https://user:SECRETPW@server.example.com"):
        with pytest.raises(ConfigurationError) as caught:
            CaleExchange(key, GUID, origin)
        assert "SECRETPW" not in str(caught.value)
    with pytest.raises(LocalProtocolError):
        CaleExchange(key, "no\r\nX: y", "https://server.example.com")
    for path in ("resource", "//other.example/", "https://other.example/"):
        with pytest.raises(LocalProtocolError):
            exchange.url(path)
    with pytest.raises(LocalProtocolError):
        exchange.request("/resource", "POST")
    assert GUID not in repr(exchange) + repr(exchange.request("/"))


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(tmp_path) as server:
        yield server


async def _get(exchange: CaleExchange, tls: ssl.SSLContext, path: str) -> bytes:
    request, server = exchange.request(path), urlsplit(exchange.origin)
    reader, writer = await asyncio.open_connection(server.hostname, server.port, ssl=tls)
    fields = "".join(f"{name}: {value}\r\n" for name, value in request.headers)
    writer.write(f"{request.method} {request.target} HTTP/1.1\r\nHost: {server.netloc}\r\n{fields}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *lines = head.rstrip().split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    body = await reader.readexactly(int(dict(headers)["Content-Length"]))
    writer.close()
    await writer.wait_closed()
    return await asyncio.to_thread(exchange.open, int(status.split()[1]), headers, body, path=path)


def test_asyncio_with_a_tls_of_its_own(edge: ScriptedServer, key: PrivateKey) -> None:
    """Several at once over real TLS; one decoy among them is one error and disturbs nobody."""
    resource = (VECTORS / "enveloped-b2.7.der").read_bytes()
    edge.answers.update({f"/{number}": envelope_answer(resource) for number in range(8)})
    edge.answers["/gone"] = answer((VECTORS / "decoy-b2.3c.b64").read_bytes())
    exchange = CaleExchange(key, GUID, edge.url)

    async def main() -> list[bytes | BaseException]:
        tls = ssl.create_default_context(cafile=str(edge.ca_file))
        paths = [*(f"/{number}" for number in range(8)), "/gone"]
        return await asyncio.gather(*(_get(exchange, tls, path) for path in paths), return_exceptions=True)

    *read, gone = asyncio.run(main())
    assert read == [b'{"foo": "bar"}\n'] * 8
    assert isinstance(gone, NotForUsError)
    assert all(request.headers["cale-guid"] == GUID for request in edge.received)
