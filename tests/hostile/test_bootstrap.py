"""The first meeting of a device and a server that nobody vouches for yet: RFC 7030 section 4.1.1, EST-70 to EST-78.

The device has a factory certificate and a password to show, and shows neither before the server is authenticated.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.client.device import Device, EnrolmentPlan
from device_sdk.errors import (
    AuthenticationRequiredError,
    DeviceSdkError,
    FingerprintMismatchError,
    HttpStatusError,
    RedirectRefusedError,
    RemoteProtocolError,
    ServerNotAuthorizedError,
    ServerNotTrustedError,
    TlsError,
    TransportError,
)
from device_sdk.model.credentials import Credentials
from device_sdk.model.secret import Secret
from device_sdk.model.trust import Pin, TlsIdentity
from tests.est.answers import SPEC, bag
from tests.est.pki import Ca, der, make, name, new_key, server_certificate
from tests.est.scripted_server import http, pkcs7
from tests.hostile.case import Attack, Case, table
from tests.hostile.conftest import PASSWORD, PATIENT
from tests.hostile.host import Host

GET = "GET /.well-known/est/cacerts"
MALLORY = Ca.root("Mallory")


@dataclass
class Newcomer:
    """A device out of the box, and the server it is told to enrol at."""

    ca: Ca
    host: Host
    directory: Path

    def __post_init__(self) -> None:
        self.device = Device(self.directory / "state")
        key = new_key()
        self.plan = EnrolmentPlan(
            url=self.host.url,
            key_uri=f"file:{self.directory}/keys/device.pem",
            spec=SPEC,
            pins=(Pin("sha256", hashlib.sha256(der(self.ca.certificate)).digest()),),
            identity=TlsIdentity((self.ca.certify("factory 1", key.public_key()),), key),
            credentials=Credentials("canary", Secret(PASSWORD)),
            timeouts=PATIENT,
        )

    def fails(self, plan: EnrolmentPlan) -> DeviceSdkError:
        """One enrolment: how it failed; with nothing shown, nothing trusted and no key made."""
        with pytest.raises(DeviceSdkError) as failed:
            self.device.enroll(plan)
        assert set(self.host.lines) <= {GET}
        assert not any(seen.client_certificate or seen.header("Authorization") for seen in self.host.seen)
        assert PASSWORD.encode() not in bytes(self.host.received)
        assert list((self.directory / "keys").iterdir()) == []
        assert not self.device.status().enrolled
        pems = [path for path in self.device.state.path.rglob("*") if path.is_file() and b"BEGIN" in path.read_bytes()]
        assert pems == []
        return failed.value


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    ca = Ca.root("EST root")
    host = Host(ca, tmp_path_factory.mktemp("host"), client_ca=ca.certificate)
    yield host
    host.close()


@pytest.fixture
def newcomer(host: Host, tmp_path: Path) -> Newcomer:
    host.behave()
    (tmp_path / "keys").mkdir(mode=0o700)
    return Newcomer(host.ca, host, tmp_path)


def cacerts(*found: x509.Certificate) -> Attack:
    return lambda host: host.answer(cacerts=bag(*found))


def says(status: int, *headers: tuple[str, str], body: bytes = b"") -> Attack:
    return lambda host: host.answer(cacerts=lambda _seen: http(status, body, *headers))


def elsewhere(host: Host) -> None:
    """A redirect to another name of the same server, under which nothing may be asked."""
    location = host.url.replace("127.0.0.1", "localhost") + "/.well-known/est/elsewhere/cacerts"
    says(302, ("Location", location))(host)


def to_the_rest(host: Host) -> None:
    """A redirect that would make a request for something else of it."""
    says(302, ("Location", host.url + "/.well-known/est/csrattrs"))(host)


def namesake(host: Host) -> None:
    cacerts(Ca.root("EST root").certificate)(host)


def passes_on(host: Host) -> None:
    """A man in the middle: the real bag, and a certificate of his own."""
    host.show(*server_certificate(MALLORY), MALLORY.certificate)


def passes_on_and_adds(host: Host) -> None:
    """The same with his root put beside the real one."""
    passes_on(host)
    cacerts(MALLORY.certificate, host.ca.certificate)(host)


def another_name(host: Host) -> None:
    """The bag and the CA are right, the server is another one of that CA's."""
    key = new_key()
    names = [(x509.SubjectAlternativeName([x509.DNSName("printer.example")]), False)]
    host.show(host.ca.certify("printer", key.public_key(), extensions=names), key)


def insists(host: Host) -> None:
    """The server demands a client certificate at once; with TLS 1.2, where its refusal cannot get lost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=host.ca.certificate.public_bytes(Encoding.PEM).decode())
    host.show(*server_certificate(host.ca), context=context)


MISMATCH, PROTOCOL, TRUST = FingerprintMismatchError, RemoteProtocolError, ServerNotTrustedError
CASES = [
    Case("EST-78", "a stranger's CA", cacerts(MALLORY.certificate), MISMATCH, "nothing but this request was sent"),
    Case("EST-71", "a CA of the same name with another key", namesake, MISMATCH),
    Case("EST-71", "a bag without certificates", lambda host: host.answer(cacerts=bag()), PROTOCOL),
    Case("EST-71", "no bag", lambda host: host.answer(cacerts=lambda _seen: pkcs7(b"MAA=")), PROTOCOL),
    Case("EST-72", "it asks for a password (Basic)", says(401, ("WWW-Authenticate", 'Basic realm="est"')),
         AuthenticationRequiredError),
    Case("EST-72", "it asks for a password (Digest)", says(401, ("WWW-Authenticate",
         'Digest realm="est", qop="auth", algorithm=SHA-256, nonce="n"')), AuthenticationRequiredError),
    Case("EST-72", "it asks as a proxy would", says(407, ("Proxy-Authenticate", 'Basic realm="est"')), HttpStatusError),
    Case("EST-72", "it asks by a page of text", says(403, body=b"log in first"), HttpStatusError),
    Case("EST-73", "a redirect to another server", elsewhere, RedirectRefusedError),
    Case("EST-73", "a redirect to another operation", to_the_rest, RedirectRefusedError),
    Case("EST-73", "a redirect to http", says(301, ("Location", "http://127.0.0.1/.well-known/est/cacerts")),
         RedirectRefusedError),
    Case("EST-73", "come back later, with something to do until then", says(202, ("Retry-After", "0")), HttpStatusError),
    Case("EST-74", "it insists on a client certificate", insists, (TlsError, TransportError)),
    Case("EST-77", "a man in the middle passes the real bag on", passes_on, TRUST),
    Case("EST-77", "and adds his own root", passes_on_and_adds, TRUST),
    Case("EST-77", "another server of the right CA", another_name, ServerNotAuthorizedError),
]  # fmt: skip


@pytest.mark.slow
@table(CASES)
def test_first_meeting(newcomer: Newcomer, case: Case) -> None:
    case.attack(newcomer.host)
    failure = newcomer.fails(newcomer.plan)
    assert isinstance(failure, case.error), f"{type(failure).__name__}: {failure}"
    assert case.says in str(failure)
    assert newcomer.host.url in str(failure)
    # the same device, the same plan, an honest server
    newcomer.host.behave()
    assert newcomer.device.enroll(newcomer.plan).changed
    assert newcomer.device.anchors == (newcomer.ca.certificate,)


def test_what_is_shown_and_when(newcomer: Newcomer) -> None:
    """EST-73, EST-74: the first connection carries one GET without a certificate; everything else follows on another."""
    newcomer.device.enroll(newcomer.plan)
    first, *rest = newcomer.host.seen
    assert (first.line, first.client_certificate) == (GET, None)
    assert rest
    assert all(seen.connection > first.connection and seen.client_certificate for seen in rest)


def _of_the_key(newcomer: Newcomer) -> tuple[Attack, EnrolmentPlan]:
    """The pinned key in a certificate that somebody else made: with another name, another validity, another issuer."""
    public = newcomer.ca.key.public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    fake = make(newcomer.ca.certificate.subject, public, MALLORY.certificate.subject, MALLORY.key, ca=True)
    plan = replace(newcomer.plan, pins=(Pin("sha256", hashlib.sha256(spki).digest()),))
    return cacerts(fake, MALLORY.certificate), plan


def _of_a_device(newcomer: Newcomer) -> tuple[Attack, EnrolmentPlan]:
    """A pinned certificate that is no CA's."""
    device = newcomer.ca.certify("device 7", new_key().public_key())
    plan = replace(newcomer.plan, pins=(Pin("sha256", hashlib.sha256(der(device)).digest()),))
    return cacerts(device, newcomer.ca.certificate), plan


def _of_one_bit(newcomer: Newcomer) -> tuple[Attack, EnrolmentPlan]:
    """All but one bit of the fingerprint fit."""
    digest = bytearray(newcomer.plan.pins[0].digest)
    digest[-1] ^= 1
    return cacerts(newcomer.ca.certificate), replace(newcomer.plan, pins=(Pin("sha256", bytes(digest)),))


def _of_nobody(newcomer: Newcomer) -> tuple[Attack, EnrolmentPlan]:
    """A person who compares, and says no."""
    plan = replace(newcomer.plan, pins=(), confirm=lambda certificate: certificate.subject == name("another root"))
    return cacerts(newcomer.ca.certificate), plan


@pytest.mark.parametrize(
    "arrange",
    [_of_the_key, _of_a_device, _of_one_bit, _of_nobody],
    ids=[
        "EST-76: another's certificate around the key",
        "EST-76: no CA",
        "EST-76: one bit",
        "EST-71: a person says no",
    ],
)
def test_fingerprints_that_do_not_fit(
    newcomer: Newcomer, arrange: Callable[[Newcomer], tuple[Attack, EnrolmentPlan]]
) -> None:
    attack, plan = arrange(newcomer)
    attack(newcomer.host)
    assert isinstance(newcomer.fails(plan), FingerprintMismatchError)
    assert newcomer.host.lines == [GET]


@pytest.mark.parametrize("named", ["ours", "mallory's"])
def test_est_54_est_55_the_anchors_the_owner_names_are_the_only_ones(
    newcomer: Newcomer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """The system's store knows the other CA, and nobody asked for it."""
    ours, theirs = (newcomer.ca, MALLORY) if named == "ours" else (MALLORY, newcomer.ca)
    (tmp_path / "system.pem").write_bytes(theirs.certificate.public_bytes(Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    plan = replace(newcomer.plan, pins=(), anchors=(ours.certificate,))
    newcomer.host.show(*server_certificate(theirs))
    assert isinstance(newcomer.fails(plan), ServerNotTrustedError)
    assert newcomer.host.received == b""
    newcomer.host.show(*server_certificate(ours))
    if named == "ours":
        assert newcomer.device.enroll(plan).changed
    else:  # trusted as a server, but what it certifies has no path to the anchor
        with pytest.raises(DeviceSdkError):
            newcomer.device.enroll(plan)
        assert newcomer.host.seen
