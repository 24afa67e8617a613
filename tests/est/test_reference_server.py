"""The client against the reference server: real TLS, another OpenSSL and another ASN.1 library on the other side."""

from __future__ import annotations

import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.ca.tls import TlsProfile

from device_sdk.client.est import Credentials, EstClient, bootstrap
from device_sdk.errors import (
    AuthenticationRequiredError,
    CertificateMismatchError,
    ClockError,
    DeviceSdkError,
    EnrolmentPendingError,
    FingerprintMismatchError,
    HttpStatusError,
    RedirectRefusedError,
    RemoteProtocolError,
    ServerNotAuthorizedError,
    ServerNotTrustedError,
    TransportError,
)
from device_sdk.keystores.registry import create_key
from device_sdk.model.csr import CsrSpec, DeviceAttributes
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.wire.fingerprint import parse_pin
from tests.est.pki import Ca, name, new_key

MAC = "00:00:92:90:ee:e2"
SPEC = CsrSpec(
    subject=name("device 1"),
    san=(x509.DNSName("device.example"),),
    device=DeviceAttributes(mac_address=MAC, serial_number="4711"),
)


def anchors_of(server) -> ServerTrust:
    return ServerTrust(explicit=tuple(x509.load_pem_x509_certificates(server.ca_file.read_bytes())))


@pytest.fixture
def connect(est_server):
    def open_client(**options) -> EstClient:
        options = {"credentials": Credentials(est_server.user, Secret(est_server.password))} | options
        return EstClient(est_server.url, anchors_of(est_server), **options)

    return open_client


def lines(server) -> list[tuple[object, object]]:
    return [(str(entry["path"]).rpartition("/")[2], entry["status"]) for entry in server.log()]


def test_one_enrolment_is_one_connection(est_server, connect, tmp_path):
    """EST-110."""
    with connect() as client:
        enrolled = client.enroll(new_key(), SPEC)
    assert est_server.connections == 1
    assert lines(est_server) == [("cacerts", 200), ("csrattrs", 200), ("simpleenroll", 401), ("simpleenroll", 200)]
    chain, leaf = tmp_path / "chain.pem", tmp_path / "leaf.pem"
    chain.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in enrolled.chain[1:]))
    leaf.write_bytes(enrolled.certificate.public_bytes(Encoding.PEM))
    command = ["openssl", "verify", "-CAfile", est_server.ca_file, "-untrusted", chain, leaf]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    assert MAC.encode() in enrolled.certificate.public_bytes(Encoding.DER)


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(("version", "binding"), [("1.2", "tls-unique"), (None, "tls-exporter")])
def test_est_91_est_98_the_server_sees_the_binding(est_server, connect, version, binding, required):
    """Whatever the CSR attributes say."""
    est_server.policy.require_binding = required
    with connect(max_tls_version=version) as client:
        client.enroll(new_key(), SPEC)
    assert est_server.log()[-1]["binding"] == binding


def test_bootstrap_then_enrol_then_renew_over_tls_with_the_new_certificate(est_server, connect):
    """EST-24: one port for clients with and without a certificate."""
    ca = bootstrap(est_server.url, [parse_pin("sha256:" + est_server.ca_sha256)])
    credentials = Credentials(est_server.user, Secret(est_server.password))
    key, next_key = new_key(), new_key()
    with EstClient(est_server.url, ServerTrust(explicit=ca.anchors), credentials=credentials) as client:
        first = client.enroll(key, SPEC)
    identity = TlsIdentity(first.chain, key)
    with EstClient(est_server.url, ServerTrust(explicit=ca.anchors), identity=identity) as client:
        second = client.reenroll(next_key)
    assert second.certificate.subject.public_bytes() == first.certificate.subject.public_bytes()
    assert second.certificate.public_key() == next_key.public_key()
    last = est_server.log()[-1]
    assert (last["operation"], last["status"]) == ("simplereenroll", 200)
    assert last["client_serial"] == f"{first.certificate.serial_number:x}"
    assert est_server.connections == 4


def test_est_78_fingerprint_mismatch(est_server):
    with pytest.raises(FingerprintMismatchError) as caught:
        bootstrap(est_server.url, [parse_pin("sha256:" + "ab" * 32)])
    assert "sha256:" + est_server.ca_sha256 in caught.value.seen
    assert lines(est_server) == [("cacerts", 200)]


@pytest.mark.slow
def test_renewal_with_a_pkcs11_key(est_server, connect, softhsm_token):
    renew_with_hardware(est_server, connect, softhsm_token.uri_of)


@pytest.mark.slow
def test_renewal_with_a_tpm_key(est_server, connect, swtpm, tmp_path):
    renew_with_hardware(est_server, connect, lambda label: f"tpm2:file={tmp_path / label}.pem")


def renew_with_hardware(server, connect, uri_of) -> None:
    with create_key(uri_of("first"), "ec-p256") as first, create_key(uri_of("second"), "rsa-2048") as second:
        with connect() as client:
            enrolled = client.enroll(first, SPEC)
        with connect(credentials=None, identity=TlsIdentity(enrolled.chain, first)) as client:
            renewed = client.reenroll(second)
    assert isinstance(renewed.certificate.public_key(), rsa.RSAPublicKey)
    assert server.log()[-1]["client_serial"] == f"{enrolled.certificate.serial_number:x}"


def test_401_twice(est_server, connect):
    wrong = Credentials(est_server.user, Secret("wrong"))
    with connect(credentials=wrong) as client, pytest.raises(AuthenticationRequiredError) as caught:
        client.enroll(new_key(), SPEC)
    assert caught.value.schemes == ("Basic",)
    assert lines(est_server)[-2:] == [("simpleenroll", 401)] * 2


def test_manual_approval(est_server, connect, clock):
    est_server.policy.require_approval = True
    key = new_key()
    with connect() as client, pytest.raises(EnrolmentPendingError):
        client.enroll(key, SPEC)
    approved = []

    def approve(pending) -> None:
        approved.append(est_server.est.queue.decide(None, approve=True))

    with connect(clock=clock) as client:
        enrolled = client.enroll(key, SPEC, wait_s=30, progress=approve)
    assert approved == [1]
    assert clock.slept == [1]
    assert enrolled.certificate.public_key() == key.public_key()


def test_est_06_label(est_server, connect):
    est_server.policy.labels.add("lab 1")
    with connect(label="lab 1") as client:
        assert client.enroll(new_key(), SPEC).certificate
    with connect(label="other") as client, pytest.raises(HttpStatusError, match="404"):
        client.cacerts()


def test_est_173_csr_attributes_are_typed(est_server, connect):
    """EST-05: every kind of wish comes out under its own name, and what nobody knows is kept."""
    challenge, unknown = "1.2.840.113549.1.9.7", "2.999.7"
    mac, sha384, rsa_key = "1.3.6.1.1.1.1.22", "1.2.840.10045.4.3.3", "1.2.840.113549.1.1.1"
    p384 = bytes.fromhex("3012 0607 2a8648ce3d0201 3107 0605 2b81040022")
    with connect() as client:
        assert client.csrattrs().wants_mac
        est_server.policy.csrattrs = [mac, challenge, unknown, sha384, p384]
        wishes = client.csrattrs()
        assert len(wishes.elements) == 5
        assert wishes.wants_mac
        assert wishes.challenges == (challenge,)
        assert [element.oid for element in wishes.unknown] == [unknown]
        assert len(wishes.signatures) == 1
        assert len(wishes.keys) == 1
        assert wishes.required_key_types() == (KeyType.EC_P384,)
        assert (wishes.subject, wishes.subject_types, wishes.extensions) == (None, (), ())
        est_server.policy.csrattrs = [unknown, rsa_key]
        wishes = client.csrattrs()
        assert not wishes.wants_mac
        assert (wishes.challenges, wishes.signatures) == ((), ())
        assert all(kind.value.startswith("rsa-") for kind in wishes.required_key_types())
        est_server.policy.csrattrs = []
        assert client.csrattrs().elements == ()


def test_est_34_a_makers_certificate_enrols_a_new_key(est_server, connect):
    """EST-136: RFC 7030 section 3.3.2: a third party's certificate authenticates the client to a CA that knows the maker."""
    maker, device_key, new = Ca.root("Maker CA"), new_key(), new_key()
    serial = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "SN-1")])
    device = maker.certify(serial, device_key.public_key())
    identity = TlsIdentity((device,), device_key)
    est_server.policy.third_party_anchors = [maker.certificate]
    est_server.use_tls(TlsProfile())
    with connect(credentials=None, identity=identity) as client, pytest.raises(HttpStatusError, match="403"):
        client.enroll(new, SPEC)
    est_server.policy.third_party_serials = {"SN-1"}
    with connect(credentials=None, identity=identity) as client:
        enrolled = client.enroll(new, SPEC)
    assert enrolled.certificate.public_key() == new.public_key()
    assert enrolled.anchor == est_server.hierarchy.root.certificate
    last = est_server.log()[-1]
    assert (last["operation"], last["status"]) == ("simpleenroll", 200)
    assert last["client_serial"] == f"{device.serial_number:x}"


HARMLESS = [
    "wrap=64",
    "wrap=76crlf",
    "wrap=1",
    "no_newline",
    "no_transfer_encoding",
    "no_media_type",
    "pem=PKCS7",
    "pem=CMS",
    "der",
    "ber",
    "unordered",
    "empty_content",
    "with_chain",
    "extra_roots=3",
    "chunked",
    "no_length",
    "close",
    "lower_case",
    "split",
    "http10",
    "retry_after=1*1@simpleenroll",
    "retry_after=date*1@simpleenroll",
    "retry_after=none*1@simpleenroll",
    "other_subject",
    "status=404@csrattrs",
    "media_type=application/x-pkcs7-mime@simpleenroll",
]


@pytest.mark.parametrize("fault", HARMLESS)
def test_tolerant_reader(est_server, connect, clock, fault):
    """Spec section 1 and the measured peculiarities of real servers."""
    operation = "" if "@" in fault else "@{}"
    for name_ in ("cacerts", "simpleenroll"):
        est_server.faults.parse(fault + operation.format(name_))
        with connect(clock=clock) as client:
            enrolled = client.enroll(new_key(), SPEC, wait_s=100)
        assert enrolled.anchor == est_server.hierarchy.root.certificate
        assert enrolled.chain[1:] == (est_server.hierarchy.issuing.certificate,)
        est_server.faults.clear()


HARMFUL = {
    "status=400": HttpStatusError,
    "status=403": HttpStatusError,
    "status=503": HttpStatusError,
    "status=204": HttpStatusError,
    "unauthorized": AuthenticationRequiredError,
    "redirect=https://127.0.0.1:1/x": RedirectRefusedError,
    "redirect=303 /x": RedirectRefusedError,
    "redirect=/.well-known/est/simpleenroll": RedirectRefusedError,
    "redirect=http://localhost/": RedirectRefusedError,
    "noise": HttpStatusError,
    "html": HttpStatusError,
    "other_key": CertificateMismatchError,
    "other_issuer": CertificateMismatchError,
    "expired": CertificateMismatchError,
    "future": ClockError,
    "no_certificate": RemoteProtocolError,
    "media_type=text/html": RemoteProtocolError,
    "media_type=text/plain": RemoteProtocolError,
    "pem=PRIVATE KEY": RemoteProtocolError,
    "trailing": RemoteProtocolError,
    "not_base64": RemoteProtocolError,
    "not_cms": RemoteProtocolError,
    "empty_body": RemoteProtocolError,
    "truncate": TransportError,
    "truncate_quietly": DeviceSdkError,
    "reset": TransportError,
    "no_length_no_notify": TransportError,
    "not_http": DeviceSdkError,
    "big_header": DeviceSdkError,
    "many_headers": DeviceSdkError,
    "retry_after=600": EnrolmentPendingError,
}


@pytest.mark.parametrize("fault", HARMFUL)
def test_bad_answers(est_server, connect, fault):
    est_server.faults.parse(f"{fault}@simpleenroll")
    with connect() as client, pytest.raises(HARMFUL[fault]) as caught:
        client.enroll(new_key(), SPEC)
    assert "simpleenroll" in str(caught.value)
    assert est_server.password not in str(caught.value)


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ({"unknown_ca": True}, ServerNotTrustedError),
        ({"expired": True}, ServerNotTrustedError),
        ({"local_names": False, "names": ("other.example",)}, ServerNotAuthorizedError),
    ],
)
def test_est_61_est_84_no_request_to_a_server_that_is_not_authorized(est_server, connect, profile, error):
    """EST-56: it ends in the handshake, or right after it; the server sees no request."""
    est_server.use_tls(TlsProfile(**profile))
    with connect() as client, pytest.raises(error):
        client.enroll(new_key(), SPEC)
    assert est_server.log() == []


def test_est_63_a_registration_authority_without_the_name(est_server, connect):
    from device_sdk_simulators.ca.tls import CMC_RA, SERVER_AUTH

    est_server.use_tls(TlsProfile(local_names=False, names=("ra.example",), usages=(SERVER_AUTH, CMC_RA)))
    with connect() as client:
        assert client.enroll(new_key(), SPEC).certificate


def test_the_server_drops_the_connection_between_requests(est_server, connect):
    with connect() as client:
        client.cacerts()
        est_server.drop_connections()
        assert client.enroll(new_key(), SPEC).certificate
    assert est_server.connections == 2
