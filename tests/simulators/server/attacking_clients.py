"""Clients of every kind, good and bad, that speak to the reference server over TLS with Python's own HTTP client."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from device_sdk_simulators.ca.hierarchy import Authority, make_authority
from device_sdk_simulators.ca.issue import Wish, issue
from device_sdk_simulators.ca.tls import TlsProfile
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.server.support import EST, PKCS10, client_context, make_csr, name

OWN = "dev-own"
SAN = (x509.DNSName("dev-own.example"), x509.DNSName("b.example"))
_DAY = timedelta(days=1)


def dns(text: str) -> x509.DNSName:
    return x509.DNSName(text)


@dataclass
class Clients:
    """A server, and who comes to it: "user" and "other" with passwords, "wrong" with none that is right; certificates.

    "own" was issued for "user", "revoked" too; "expired" and "early" are of the same CA; "maker" is of another.
    """

    server: ReferenceServer
    directory: Path
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    _policy: dict[str, object] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def at(cls, directory: Path) -> Iterator[Self]:
        """Start the server and make the clients."""
        with ReferenceServer(directory / "server", user="user", password="p-user") as server:
            clients = cls(server, directory)
            clients._make()
            clients._policy = dict(vars(server.policy))
            yield clients

    def allow(self, **policy: object) -> None:
        """Change the policy until `reset`."""
        for key, value in policy.items():
            setattr(self.server.policy, key, value)

    def reset(self) -> None:
        """The policy as it was."""
        self.allow(**self._policy)

    def ask(self, operation: str, who: str, csr: bytes) -> tuple[int, str]:
        """One POST on a connection of its own: status and text.

        Args:
            operation: the last segment of the path.
            who: a user, a certificate, or both: "user+own"; anything else is nobody.
            csr: DER.
        """
        parts = who.split("+")
        user, shown = parts[0], parts[-1]
        headers = dict([PKCS10])
        if user in ("user", "other", "wrong"):
            login = "user:no" if user == "wrong" else f"{user}:p-{user}"
            headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        files = {"certificate": self._file(shown, "pem"), "key": self._file(shown, "key")} if shown in self.keys else {}
        context = client_context(self.server, **files)
        connection = http.client.HTTPSConnection("localhost", self.server.port, context=context, timeout=20)
        try:
            connection.request("POST", EST + operation, base64.b64encode(csr), headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def _make(self) -> None:
        self.server.users.add("other", "p-other")
        now = datetime.now(UTC)
        maker = make_authority("Maker CA", ec.generate_private_key(ec.SECP256R1()), now)
        self.server.policy.third_party_anchors = [maker.certificate]
        self.server.policy.third_party_serials = {"SN-1"}
        self.server.use_tls(TlsProfile())
        self._enrol("own", OWN)
        revoked = self._enrol("revoked", "dev-revoked")
        assert self.server.est.register.revoke(f"{revoked.serial_number:x}")
        issuing = self.server.hierarchy.issuing
        self._issue("expired", issuing, name("dev-expired"), now - 2 * _DAY, now - _DAY)
        self._issue("early", issuing, name("dev-early"), now + _DAY, now + 2 * _DAY)
        serial = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "SN-1")])
        self._issue("maker", maker, serial, now - _DAY, now + _DAY)

    def _enrol(self, kind: str, subject: str) -> x509.Certificate:
        csr = make_csr(self._new_key(kind), name(subject), extensions=[(x509.SubjectAlternativeName(SAN), False)])
        status, text = self.ask("simpleenroll", "user", csr)
        assert status == 200, text
        return self._keep(kind, pkcs7.load_der_pkcs7_certificates(base64.b64decode(text))[0])

    def _issue(self, kind: str, issuer: Authority, subject: x509.Name, begin: datetime, end: datetime) -> None:
        extensions = x509.Extensions(
            [x509.Extension(x509.SubjectAlternativeName.oid, False, x509.SubjectAlternativeName(SAN))]
        )
        self._keep(kind, issue(issuer, Wish(subject, self._new_key(kind).public_key(), extensions, begin, end)))

    def _new_key(self, kind: str) -> ec.EllipticCurvePrivateKey:
        key = ec.generate_private_key(ec.SECP256R1())
        self._file(kind, "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.keys[kind] = key
        return key

    def _keep(self, kind: str, certificate: x509.Certificate) -> x509.Certificate:
        self._file(kind, "pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        return certificate

    def _file(self, kind: str, suffix: str) -> Path:
        return self.directory / f"{kind}.{suffix}"
