from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from device_sdk_simulators.server import ReferenceServer

from tests.simulators import command
from tests.simulators.server.support import certificates_in, make_csr, name, post


@dataclass(frozen=True)
class Enrolled:
    """A device with a certificate; curl asks for it."""

    server: ReferenceServer
    directory: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def serial(self) -> str:
        return f"{self.certificate.serial_number:x}"

    def get(self, path: str, *words: str) -> tuple[int, str, bytes]:
        """Status, Content-Type and body."""
        pair = self.directory / f"{self.serial}.pem"
        if not pair.exists():
            pair.write_bytes(
                self.certificate.public_bytes(Encoding.PEM)
                + self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            )
        return curl(self.server, path, "--cert", str(pair), *words)


def curl(server: ReferenceServer, path: str, *words: str) -> tuple[int, str, bytes]:
    url = path if path.startswith("https:") else f"{server.url}/.well-known/est/{path}"
    told = "\n%{http_code} %{content_type}"
    command = ["curl", "-sS", "--cacert", str(server.ca_file), *words, "-w", told, url]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    body, _, last = done.stdout.rpartition(b"\n")
    status, _, media_type = last.decode().partition(" ")
    return int(status), media_type, body


def sim(*words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = command.sim(*words)
    assert not check or done.returncode == 0, done.stderr
    return done


def publish(server: ReferenceServer, kind: str, file: Path, to: str, *words: str) -> str:
    """The name of the package."""
    done = sim("publish", kind, file, "--to", to, "--state", server.state, "--json", *words)
    item: str = json.loads(done.stdout)["item"]
    return item


@pytest.fixture
def server(tmp_path: Path):
    with ReferenceServer(tmp_path / "server") as running:
        yield running


@pytest.fixture
def enrol(server: ReferenceServer, tmp_path: Path):
    def enrolled(subject: str = "dev-1") -> Enrolled:
        key = ec.generate_private_key(ec.SECP256R1())
        (certificate,) = certificates_in(post(server, make_csr(key, name(subject))))
        return Enrolled(server, tmp_path, certificate, key)

    return enrolled


@pytest.fixture
def peers(server: ReferenceServer, enrol, tmp_path: Path) -> Path:
    """PEM of two peers' certificates."""
    path = tmp_path / "peers.pem"
    path.write_bytes(b"".join(enrol(f"peer-{number}").certificate.public_bytes(Encoding.PEM) for number in (1, 2)))
    return path
