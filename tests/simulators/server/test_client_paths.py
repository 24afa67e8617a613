"""Which certificates of clients lead to a CA that is known, shown in real handshakes (RFC 5280 section 6; EST-21, EST-32, EST-155)."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from device_sdk_simulators.ca.tls import TlsProfile
from device_sdk_simulators.http import peer_chains
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.server.support import EST, certificates_in, client_context, make_csr, name, post
from tests.simulators.server.test_http import read_all, status_of

DAY = timedelta(days=1)
END_OF_TIME = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
# RFC 8995 section 2.3.2
MASA = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.32"), b"\x16\x0cmasa.example")
SERIAL = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "SN-1")])


@dataclass
class Holder:
    """A key and its certificate."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass
class Scene:
    """What a case makes its certificates with."""

    server: ReferenceServer
    maker: Holder
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def device(self, issuer: Holder | None = None, *, subject: x509.Name | None = None, **options) -> x509.Certificate:
        return certify(SERIAL if subject is None else subject, self.key, issuer or self.maker, **options)

    @property
    def est_ca(self) -> Holder:
        issuing = self.server.hierarchy.issuing
        return Holder(issuing.certificate, issuing.key)


def certify(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: Holder | None = None,
    *,
    ca: bool | None = None,
    depth: int | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
    extensions: Sequence[x509.ExtensionType] = (),
) -> x509.Certificate:
    """Self-signed without an issuer; `ca` None leaves basicConstraints out."""
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    builder = builder.issuer_name(issuer.certificate.subject if issuer else subject)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(begin or now - 9 * DAY).not_valid_after(end or now + 9 * DAY)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=depth), critical=True)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=not list(subject))
    return builder.sign(issuer.key if issuer else key, hashes.SHA256())


def authority(text: str, issuer: Holder | None = None, **options) -> Holder:
    key = ec.generate_private_key(ec.SECP256R1())
    return Holder(certify(name(text), key, issuer, **({"ca": True} | options)), key)


def below(scene: Scene, **options) -> list[x509.Certificate]:
    """A device of an intermediate of the maker's."""
    between = authority("Maker's plant", scene.maker, **options)
    return [scene.device(between), between.certificate]


def too_deep(scene: Scene) -> list[x509.Certificate]:
    plant = authority("Maker's plant", scene.maker, depth=0)
    line = authority("Maker's line", plant)
    return [scene.device(line), line.certificate, plant.certificate]


def by_a_device(scene: Scene) -> list[x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    other = Holder(certify(name("another device"), key, scene.maker), key)
    return [scene.device(other), other.certificate]


def revoked(scene: Scene) -> list[x509.Certificate]:
    (certificate,) = certificates_in(post(scene.server, make_csr(scene.key)))
    assert scene.server.est.register.revoke(f"{certificate.serial_number:x}")
    return [certificate]


def graceful(scene: Scene) -> list[x509.Certificate]:
    scene.server.policy.reenroll_grace = 7 * DAY
    return [scene.device(end=END_OF_TIME)]


def now() -> datetime:
    return datetime.now(UTC)


Shown = Callable[[Scene], Sequence[x509.Certificate]]
IN_THE_HANDSHAKE: dict[str, Shown] = {
    "EST-21: self-signed": lambda scene: [certify(SERIAL, scene.key)],
    "EST-21: of a CA nobody knows": lambda scene: [scene.device(authority("Stranger"))],
    "EST-21: of a CA nobody knows, which comes along": lambda scene: [
        scene.device(stranger := authority("Stranger")), stranger.certificate],
    "EST-21: of another CA of the maker's name": lambda scene: [
        scene.device(stranger := authority("Maker CA")), stranger.certificate],
    "EST-21: of another CA of the name of the server's": lambda scene: [
        certify(SERIAL, scene.key, Holder(scene.est_ca.certificate, authority("any").key))],
    "EST-21: signed by another device": by_a_device,
    "EST-21: by an intermediate that is no CA": lambda scene: below(scene, ca=False),
    "EST-21: by an intermediate too many": too_deep,
    "EST-21: without the intermediate": lambda scene: below(scene)[:1],
}  # fmt: skip
BY_THE_OPERATION: dict[str, tuple[Shown, str]] = {
    "EST-21 EST-155: expired": (lambda scene: [scene.device(end=now() - DAY)], "has expired"),
    "EST-21: of tomorrow": (lambda scene: [scene.device(begin=now() + DAY)], "not valid yet"),
    "EST-21: by an intermediate that expired": (lambda scene: below(scene, end=now() - DAY), "not in its validity"),
    "EST-21: by an intermediate of tomorrow": (lambda scene: below(scene, begin=now() + DAY), "not in its validity"),
    "EST-155: revoked": (revoked, "revoked"),
    "EST-155: of this CA, expired": (lambda scene: [scene.device(scene.est_ca, end=now() - DAY)], "has expired"),
}
WELCOME: dict[str, Shown] = {
    "EST-21: of the maker": lambda scene: [scene.device()],
    "EST-21: by an intermediate": below,
    "EST-32: without an end": lambda scene: [scene.device(end=END_OF_TIME)],
    "EST-32: without an end, and a period of grace": graceful,
    "EST-32: with a MASA URL": lambda scene: [scene.device(extensions=[MASA])],
    "EST-21: of this CA": lambda scene: [scene.device(scene.est_ca)],
}


@pytest.fixture
def scene(server: ReferenceServer) -> Scene:
    maker = authority("Maker CA")
    server.policy.third_party_anchors = [maker.certificate]
    server.policy.third_party_serials, server.policy.enroll_with_certificate = {"SN-1"}, "any"
    server.use_tls(TlsProfile())
    return Scene(server, maker)


class Visitor:
    """Shows one chain on all its connections, and offers the TLS session of the one before."""

    def __init__(self, scene: Scene, directory: Path, chain: Sequence[x509.Certificate], version: str | None) -> None:
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
        pem += scene.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (directory / "client.pem").write_bytes(pem)
        self._context = client_context(scene.server, certificate=directory / "client.pem", maximum=version)
        self._port = scene.server.port
        self._session: ssl.SSLSession | None = None
        self.resumed = False

    def enrol(self) -> bytes:
        """The answer to an enrolment; nothing if TLS ends the connection."""
        body = base64.b64encode(make_csr(subject=name("dev-7")))
        head = f"POST {EST}simpleenroll HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        raw = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        options = {"server_hostname": "localhost", "session": self._session}
        with raw, suppress(OSError), self._context.wrap_socket(raw, **options) as sock:
            sock.sendall(head.encode() + body)
            answer = read_all(sock)
            self._session, self.resumed = sock.session, bool(sock.session_reused)
            return answer
        return b""


@pytest.fixture
def visit(scene: Scene, tmp_path: Path) -> Callable[..., Visitor]:
    return lambda chain, version=None: Visitor(scene, tmp_path, chain, version)


@pytest.fixture
def enrol(visit) -> Callable[[Sequence[x509.Certificate]], bytes]:
    """The answer to an enrolment over a connection on which this chain is shown; nothing if TLS ends it."""
    return lambda chain: visit(chain).enrol()


@pytest.mark.parametrize("case", WELCOME)
def test_a_chain_to_a_known_ca_enrols(scene: Scene, enrol, case: str) -> None:
    assert status_of(enrol(WELCOME[case](scene))) == 200
    assert scene.server.log()[-1]["authentication"] == "tls"


@pytest.mark.slow
@pytest.mark.parametrize("case", IN_THE_HANDSHAKE)
def test_a_chain_to_nobody_ends_the_handshake(scene: Scene, enrol, case: str) -> None:
    assert enrol(IN_THE_HANDSHAKE[case](scene)) == b""
    assert scene.server.log() == []
    assert scene.server.est.register.entries() == []


@pytest.mark.parametrize("case", BY_THE_OPERATION)
def test_a_chain_that_does_not_count_any_more_is_403(scene: Scene, enrol, case: str) -> None:
    """Judged after the handshake, by the server's clock and books, in words that the client can show."""
    shown, words = BY_THE_OPERATION[case]
    chain = shown(scene)
    before = scene.server.est.register.entries()
    answer = enrol(chain)
    assert (status_of(answer), words in answer.decode()) == (403, True), answer
    assert scene.server.est.register.entries() == before


@pytest.mark.parametrize("version", ["1.2", None], ids=["TLS 1.2", "TLS 1.3"])
@pytest.mark.parametrize("case", BY_THE_OPERATION)
def test_a_resumed_session_is_no_way_round(scene: Scene, visit, case: str, version: str | None) -> None:
    """EST-21: a ticket has the client's certificate and not what came with it; all of it is judged again."""
    shown, words = BY_THE_OPERATION[case]
    visitor = visit(shown(scene), version)
    before = scene.server.est.register.entries()
    for resumed in (False, True, True):
        answer = visitor.enrol()
        assert visitor.resumed is resumed
        assert (status_of(answer), words in answer.decode()) == (403, True), answer
    assert scene.server.est.register.entries() == before


@pytest.mark.parametrize("version", ["1.2", None], ids=["TLS 1.2", "TLS 1.3"])
def test_a_session_resumed_is_judged_by_the_clock_of_now(scene: Scene, visit, version: str | None) -> None:
    """EST-21, EST-57: welcome with its intermediate, until that ends."""
    visitor = visit(below(scene, end=now() + DAY), version)
    for resumed in (False, True):
        assert status_of(visitor.enrol()) == 200
        assert visitor.resumed is resumed
    scene.server.clock = lambda: now() + 2 * DAY
    answer = visitor.enrol()
    assert (visitor.resumed, status_of(answer)) == (True, 403)
    assert b"not in its validity" in answer


def test_a_session_nobody_remembers_is_not_judged_at_all(scene: Scene, visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """EST-21: what a crowd of other clients has pushed out of the memory is no reason for leniency."""
    visitor = visit(below(scene))
    assert status_of(visitor.enrol()) == 200
    monkeypatch.setattr(peer_chains, "_LIMIT", 1)
    scene.key = ec.generate_private_key(ec.SECP256R1())
    assert status_of(visit([scene.device()]).enrol()) == 200
    assert visitor.enrol() == b""


TYPE_AND_SERIAL = bytes.fromhex("300b06032a0304 0404 00ab12ff")
MODULE = x509.SubjectAlternativeName([x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4"), TYPE_AND_SERIAL)])
DAMAGED = x509.SubjectAlternativeName([x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4"), b"\x30\x00")])
FIELDS = {
    "serialNumber, as 802.1AR has it": (None, "SN-1", {}, 200),
    "serialNumber of a device that is not listed": (None, "SN-2", {}, 403),
    "the common name": ("2.5.4.3", "SN-1", {"subject": name("SN-1")}, 200),
    "serialNumber where the common name is looked at": ("2.5.4.3", "SN-1", {}, 403),
    "the common name where nobody said so": (None, "SN-1", {"subject": name("SN-1")}, 403),
    "hardwareModuleName under an empty subject": ("1.3.6.1.5.5.7.8.4", "00ab12ff",
                                                  {"subject": x509.Name([]), "extensions": [MODULE]}, 200),
    "hardwareModuleName that is damaged": ("1.3.6.1.5.5.7.8.4", "", {"extensions": [DAMAGED]}, 403),
    "no hardwareModuleName": ("1.3.6.1.5.5.7.8.4", "SN-1", {}, 403),
}  # fmt: skip


@pytest.mark.parametrize("case", FIELDS)
def test_est_32_est_33_where_the_makers_serial_number_is(scene: Scene, enrol, case: str) -> None:
    """Serial numbers are listed; each maker says where they are in its certificates."""
    field, listed, options, status = FIELDS[case]
    policy = scene.server.policy
    policy.third_party_serials = {listed}
    policy.third_party_serial_fields = {"CN=Maker CA": field} if field else {}
    assert status_of(enrol([scene.device(**options)])) == status
    assert len(scene.server.est.register.entries()) == (status == 200)
    # another maker's devices are looked at as ever
    policy.third_party_serials, policy.third_party_serial_fields = {"SN-1"}, {"CN=Other CA": "2.5.4.3"}
    assert status_of(enrol([scene.device()])) == 200
