"""Who may do what: the authorization matrix, each cell tried over TLS (EST-20 to EST-26, EST-80, EST-154, EST-155)."""

from __future__ import annotations

import base64
import http.client
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID
from device_sdk_simulators.ca.hierarchy import make_authority
from device_sdk_simulators.ca.issue import CMC_RA, Wish, issue
from device_sdk_simulators.ca.tls import TlsProfile
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.server.full_cmc_requests import MEDIA, SECRET, Draft
from tests.simulators.server.support import EST, PKCS10, client_context, make_csr, name

WHO = ("nobody", "user", "maker", "own", "ra", "user+own", "user+maker", "other+own", "wrong+own")
"""Columns: "user" and "other" have passwords, "wrong" has none; "own" and "ra" have certificates of the CA, "own" of "user"."""

DEFAULTS = {
    "cacerts": (200, 200, 200, 200, 200, 200, 200, 200, 200),
    "csrattrs": (200, 200, 200, 200, 200, 200, 200, 200, 200),
    "simpleenroll own name": (401, 200, 403, 200, 200, 200, 403, 403, 401),
    "simpleenroll other name": (401, 200, 403, 403, 200, 403, 403, 403, 401),
    "simplereenroll own name": (401, 403, 403, 200, 400, 200, 403, 403, 401),
    "simplereenroll other name": (401, 403, 403, 400, 400, 400, 403, 403, 401),
    "serverkeygen own name": (404, 404, 404, 404, 404, 404, 404, 404, 404),
    "fullcmc shared secret": (404, 404, 404, 404, 404, 404, 404, 404, 404),
}
"""The policy as it comes. A renewal has the name of the certificate that is shown: 400 is that it has not."""

CONFIGURED = {
    "listed device": ({"third_party_serials": {"SN-1"}}, "simpleenroll own name",
                      (401, 200, 200, 200, 200, 200, 200, 403, 401)),
    "any device of a known maker": ({"third_party_serials": None}, "simpleenroll other name",
                                    (401, 200, 200, 403, 200, 403, 200, 403, 401)),
    "makers' devices are never renewed": ({"third_party_serials": None}, "simplereenroll own name",
                                          (401, 403, 403, 200, 400, 200, 403, 403, 401)),
    "certificates enrol for anybody": ({"enroll_with_certificate": "any"}, "simpleenroll other name",
                                       (401, 200, 403, 200, 200, 200, 403, 403, 401)),
    "certificates do not enrol": ({"enroll_with_certificate": "no"}, "simpleenroll own name",
                                  (401, 200, 403, 403, 200, 403, 403, 403, 401)),
    "no registration authorities": ({"registration_authorities": False}, "simpleenroll other name",
                                    (401, 200, 403, 403, 403, 403, 403, 403, 401)),
    "renewal by password": ({"reenroll_with_password": True}, "simplereenroll own name",
                            (401, 200, 403, 200, 400, 200, 403, 403, 401)),
    "renewal by password of what is not theirs": ({"reenroll_with_password": True}, "simplereenroll other name",
                                                  (401, 403, 403, 400, 400, 400, 403, 403, 401)),
    "passwords beside certificates": ({"require_password": True}, "simpleenroll own name",
                                      (401, 200, 401, 401, 401, 200, 403, 403, 401)),
    "passwords beside certificates for renewals": ({"require_password": True}, "simplereenroll own name",
                                                   (401, 403, 401, 401, 401, 200, 403, 403, 401)),
    "passwords beside certificates of devices": ({"require_password": True, "third_party_serials": None},
                                                 "simpleenroll own name", (401, 200, 401, 401, 401, 200, 200, 403, 401)),
    "keys made by the server": ({"serverkeygen": {"clear"}}, "serverkeygen own name",
                                (401, 200, 403, 200, 200, 200, 403, 403, 401)),
    "keys made by the server for other names": ({"serverkeygen": {"clear"}}, "serverkeygen other name",
                                                (401, 200, 403, 403, 200, 403, 403, 403, 401)),
    "keys made by the server, passwords beside certificates": (
        {"serverkeygen": {"clear"}, "require_password": True}, "serverkeygen own name",
        (401, 200, 401, 401, 401, 200, 403, 403, 401)),
    "full CMC: what is inside the message decides": ({"fullcmc": True}, "fullcmc shared secret",
                                                     (200, 200, 200, 200, 200, 200, 200, 200, 200)),
    "passwords do not concern what is open to all": ({"require_password": True}, "cacerts",
                                                     (200, 200, 200, 200, 200, 200, 200, 200, 200)),
}  # fmt: skip


class Bench:
    """A server, a maker's CA, and one client of every kind."""

    def __init__(self, directory) -> None:
        self.directory = directory
        self.server = ReferenceServer(directory / "server", user="user", password="p-user")
        self.server.users.add("other", "p-other")
        self.maker = make_authority("Maker CA", ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC))
        self.server.policy.third_party_anchors = [self.maker.certificate]
        self.server.use_tls(TlsProfile())
        self.server.est.full_cmc.store.add_secret("dev-1", SECRET.encode())
        self.defaults = dict(vars(self.server.policy))

    def reset(self) -> None:
        for field, value in self.defaults.items():
            setattr(self.server.policy, field, value)

    def make_clients(self) -> None:
        """The certificate of "user" is enrolled over HTTP, so that the server knows whose it is."""
        key = self._keep_key("own")
        status, body = self.ask("simpleenroll", "user", make_csr(key, name("dev-own")))
        assert status == 200
        certificate = base64.b64decode(body)
        self._keep("own", pkcs7.load_der_pkcs7_certificates(certificate)[0])
        for kind, issuer, usages in (
            ("maker", self.maker, []),
            ("ra", self.server.hierarchy.issuing, [x509.ObjectIdentifier(CMC_RA), ExtendedKeyUsageOID.CLIENT_AUTH]),
        ):
            self._keep(kind, self._issue(issuer, self._keep_key(kind), usages))

    def _issue(self, issuer, key, usages) -> x509.Certificate:
        now = datetime.now(UTC)
        serial = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "SN-1")])
        extensions = [x509.Extension(x509.ExtendedKeyUsage.oid, False, x509.ExtendedKeyUsage(usages))] if usages else []
        day = timedelta(days=1)
        return issue(issuer, Wish(serial, key.public_key(), x509.Extensions(extensions), now - day, now + day))

    def _keep_key(self, kind):
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.directory / f"{kind}.key").write_bytes(pem)
        return key

    def _keep(self, kind, certificate) -> None:
        (self.directory / f"{kind}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))

    def ask(self, operation: str, who: str, csr: bytes | None) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        parts = who.split("+")
        shown = next((part for part in parts if part in ("maker", "own", "ra")), None)
        files = (
            {"certificate": self.directory / f"{shown}.pem", "key": self.directory / f"{shown}.key"} if shown else {}
        )
        headers = dict([MEDIA if operation == "fullcmc" else PKCS10]) if csr else {}
        if parts[0] in ("user", "other", "wrong"):
            user, password = ("user", "no") if parts[0] == "wrong" else (parts[0], f"p-{parts[0]}")
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        context = client_context(self.server, **files)
        connection = http.client.HTTPSConnection("localhost", self.server.port, context=context, timeout=20)
        try:
            connection.request("POST" if csr else "GET", EST + operation, csr and base64.b64encode(csr), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def status(self, row: str, who: str) -> int:
        operation, _, words = row.partition(" ")
        subject = "dev-own" if words == "own name" else f"somebody for {operation}"
        csr = None if operation in ("cacerts", "csrattrs") else make_csr(subject=name(subject))
        if operation == "fullcmc":
            csr = Draft(binding=None).message()
        status, body = self.ask(operation, who, csr)
        assert bool(body) == (status != 401), body
        return status


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("matrix"))
    with bench.server:
        bench.make_clients()
        yield bench


@pytest.fixture
def bench(running):
    yield running
    running.reset()


def cells(table):
    return [(key, who, expected) for key, row in table.items() for who, expected in zip(WHO, row, strict=True)]


@pytest.mark.parametrize(("row", "who", "expected"), cells(DEFAULTS))
def test_matrix_of_the_careful_policy(bench, row, who, expected):
    """EST-20, EST-21, EST-23, EST-111, EST-132."""
    assert bench.status(row, who) == expected


@pytest.mark.parametrize(
    ("case", "who", "expected"), cells({case: expected for case, (_, _, expected) in CONFIGURED.items()})
)
def test_matrix_of_other_policies(bench, case, who, expected):
    """EST-23: what is configured decides, by both identities."""
    changes, row, _ = CONFIGURED[case]
    for field, value in changes.items():
        setattr(bench.server.policy, field, value)
    assert bench.status(row, who) == expected


def test_whose_certificate_it_is_outlives_renewals(bench):
    """EST-80: the successor of a user's certificate is that user's, also if nobody showed a password for it."""
    key = bench._keep_key("own")
    # the key of the old certificate is gone from its file: show the pair that was enrolled just now
    status, body = bench.ask("simpleenroll", "user", make_csr(key, name("dev-own")))
    bench._keep("own", pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))[0])
    status, body = bench.ask("simplereenroll", "own", make_csr(key, name("dev-own")))
    assert status == 200
    bench._keep("own", pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))[0])
    assert bench.status("simplereenroll own name", "other+own") == 403
    assert bench.status("simplereenroll own name", "user+own") == 200


def test_a_401_offers_the_schemes_of_the_policy(bench):
    """EST-80: what asks for a password beside a certificate says how."""
    bench.server.policy.require_password = True
    bench.server.policy.http_auth = ("basic", "digest")
    assert bench.status("simpleenroll own name", "own") == 401
    assert bench.server.log()[-1]["client_serial"]
