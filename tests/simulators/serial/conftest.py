"""What the tests of simulated lines share."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.serial.station import Station

Issue = Callable[[bytes], tuple[bytes, bytes]]


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceServer]:
    with ReferenceServer(tmp_path_factory.mktemp("issuer") / "server") as server:
        yield server


@pytest.fixture(scope="session")
def issue(issuer: ReferenceServer) -> Issue:
    """What a station does with a CSR: the answers of /simpleenroll and /cacerts."""
    context = ssl.create_default_context(cafile=str(issuer.ca_file))
    login = base64.b64encode(f"{issuer.user}:{issuer.password}".encode()).decode()

    def ask(csr: bytes) -> tuple[bytes, bytes]:
        connection = http.client.HTTPSConnection("127.0.0.1", issuer.port, context=context)
        try:
            connection.request("GET", "/.well-known/est/cacerts")
            chain = base64.b64decode(connection.getresponse().read())
            headers = {"Content-Type": "application/pkcs10", "Authorization": f"Basic {login}"}
            connection.request("POST", "/.well-known/est/simpleenroll", base64.b64encode(csr), headers)
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, body
            return base64.b64decode(body), chain
        finally:
            connection.close()

    return ask


@pytest.fixture(scope="session")
def provision(issue: Issue, issuer: ReferenceServer) -> Callable[[Station], dict[str, Any]]:
    """A station that relays, from facts to proof; what the device said of itself, and its certificate."""

    def do(station: Station) -> dict[str, Any]:
        station.hello()
        facts = station.ask("facts")
        station.ask(
            "configure", config=b'[est]\nurl = "https://est.example"\n', anchors=Path(issuer.ca_file).read_bytes()
        )
        station.ask("create-key", uri="tpm2:", type="ec-p256", file_allowed=False)
        csr = base64.b64decode(station.ask("request", csrattrs=b"")["csr"])
        answer, chain = issue(csr)
        installed = station.ask("install", answer=answer, ca_certificates=chain)
        station.ask("prove", nonce=b"n" * 32)
        station.bye()
        return facts | installed

    return do
