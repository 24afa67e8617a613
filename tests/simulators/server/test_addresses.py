"""Where the server listens, and what it says about that."""

from __future__ import annotations

import socket
import ssl
from urllib.request import urlopen

import pytest
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SimulatorError

from tests.simulators.server.support import client_context


def speaks_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def cacerts(server) -> bytes:
    with urlopen(f"{server.url}/.well-known/est/cacerts", context=client_context(server), timeout=10) as answer:  # noqa: S310
        return answer.read()


@pytest.mark.parametrize("host", ["::1", "::", "0:0:0:0:0:0:0:1"])
def test_ipv6(tmp_path, run, host):
    if not speaks_ipv6():
        with pytest.raises(SimulatorError, match=r"(?i)address"):
            ReferenceServer(tmp_path / "s", host=host)
        return
    with ReferenceServer(tmp_path / "s", host=host) as server:
        assert server.url == f"https://[::1]:{server.port}"
        assert server.describe()["cale_url"] == server.url
        assert cacerts(server)
        body = run("curl", "-sS", "--fail", "-g", "--cacert", server.ca_file, f"{server.url}/.well-known/est/cacerts")
        assert body.stdout.encode() == cacerts(server)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])  # noqa: S104 - for the length of a test
def test_ipv4(tmp_path, host):
    with ReferenceServer(tmp_path / "s", host=host) as server:
        assert server.url == f"https://localhost:{server.port}"
        assert cacerts(server)


def test_an_address_of_its_own_is_in_the_certificate(tmp_path):
    with ReferenceServer(tmp_path / "s", host="127.0.0.2") as server:
        assert server.url == f"https://127.0.0.2:{server.port}"
        assert cacerts(server)
        raw = socket.create_connection(("127.0.0.2", server.port), timeout=10)
        with raw, pytest.raises(ssl.SSLCertVerificationError):
            client_context(server).wrap_socket(raw, server_hostname="127.0.0.3")
