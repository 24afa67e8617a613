"""The scripted server and the CA of tests/est; a device that is enrolled at it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from device_sdk.client.device import Device
from device_sdk.client.device.sync import StepResult, StepState, SyncReport
from device_sdk.keystores.registry import create_key
from device_sdk.model.keys import KeyType
from device_sdk.state import DeviceState, Endpoint, IdentityRecord
from tests.est.answers import bag, csr_of
from tests.est.conftest import ca, clock, serve
from tests.est.pki import Ca, certs_only, name, new_key, one_line
from tests.est.scripted_server import Reply, Seen, http, pkcs7
from tests.packages.test_crls import crls_only

__all__ = ["ca", "clock", "serve"]

BASE = "/.well-known/est"
SUBJECT_KEY = "device 1"


class Bench:
    """A device with a file key, its server, and the server's list.

    `entries` is what /pal answers: pairs of type and place, or whole entries.
    """

    def __init__(self, ca: Ca, serve: Callable[..., Any], clock: Any, directory: Path) -> None:
        self.ca = ca
        self.entries: list[Any] = []
        self.below: list[Ca] = []
        self.lists: list[x509.CertificateRevocationList] = []
        self.peers: dict[str, list[x509.Certificate]] = {}
        self.issuer = ca
        self.server = serve(
            options={"client_ca": ca.certificate},
            cacerts=self._bag,
            pal=lambda _: http(200, self._list(), ("Content-Type", "application/json")),
            crls=lambda _: http(200, crls_only(*self.lists)) if self.lists else http(404),
            simplereenroll=self._issue,
        )
        self.clock = clock
        self.device = Device(directory / "state", clock=clock)
        uri = f"file:{directory}/device.pem"
        with create_key(uri, KeyType.EC_P256) as key:
            self.certificate = ca.certify(name(SUBJECT_KEY), key.public_key(), extensions=[
                (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)  # type: ignore[arg-type]
            ])  # fmt: skip
        state = self.device.state
        with state.exclusive():
            state.save(
                DeviceState(
                    base_key_uri=uri,
                    current=IdentityRecord(uri, state.add_certificate([self.certificate])),
                    anchors=state.add_anchors([ca.certificate]),
                    endpoint=Endpoint(self.server.url),
                )
            )

    def publish(self, place: str, *peers: x509.Certificate) -> None:
        """Peers at eecerts/PLACE; an answer that is empty if there are none."""
        self.peers[place] = list(peers)
        self.server.handlers[place] = lambda _: pkcs7(one_line(certs_only(*self.peers[place])))

    def outcomes(self, report: SyncReport | None = None) -> list[tuple[str, StepState]]:
        return [(one.entry.type, one.state) for one in (report or self.device.sync()).steps]

    def result(self, report: SyncReport, number: str) -> StepResult:
        (found,) = [one for one in report.steps if one.entry.type == number]
        return found

    def asked(self) -> list[str]:
        """What the server was asked since the last time, without the service's path."""
        found = [seen.line.replace(f"{BASE}/", "") for seen in self.server.seen]
        self.server.seen.clear()
        return found

    def peer(self, subject: str = "peer", issuer: Ca | None = None, **options: Any) -> x509.Certificate:
        return (issuer or self.ca).certify(subject, new_key().public_key(), **options)

    def _bag(self, seen: Seen) -> Reply:
        return bag(self.ca.certificate, *(one.certificate for one in self.below))(seen)

    def _issue(self, seen: Seen) -> Reply:
        csr = x509.load_der_x509_csr(csr_of(seen))
        ski = x509.SubjectKeyIdentifier.from_public_key(csr.public_key())
        issued = self.issuer.certify(csr.subject, csr.public_key(), extensions=[(ski, False)])
        return pkcs7(one_line(certs_only(issued)))

    def _list(self) -> bytes:
        return json.dumps([one if isinstance(one, dict) else self.entry(*one) for one in self.entries]).encode()

    def entry(self, kind: str, place: str, size: int = 1) -> dict[str, Any]:
        return {"type": kind, "size": size, "info": {"uri": f"{self.server.url}{BASE}/{place}"}}


@pytest.fixture
def synced(ca: Ca, serve: Callable[..., Any], clock: Any, tmp_path: Path) -> Bench:
    return Bench(ca, serve, clock, tmp_path)
