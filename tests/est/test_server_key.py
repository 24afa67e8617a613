"""/serverkeygen against the reference server, over TLS (RFC 7030 section 4.4): EST-190 to EST-203."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.est import Credentials, DecryptionKey, EstClient, ServerKey, SharedKey
from device_sdk.errors import (
    ConfigurationError,
    EnrolmentPendingError,
    HttpStatusError,
)
from device_sdk.model.compatibility import After202, Compatibility
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType, PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from tests.est.pki import Ca, name
from tests.est.test_reference_server import anchors_of

SPEC = CsrSpec(subject=name("sensor 7"), san=(x509.DNSName("sensor-7.example"),))
SECRET = bytes(range(32))
SHARED = SharedKey(b"bench-7", Secret(SECRET))


@pytest.fixture
def server(est_server: ReferenceServer) -> ReferenceServer:
    est_server.policy.serverkeygen = {"clear", "secret", "certificate"}
    est_server.est.server_keys.secrets.add(SHARED.identifier, SECRET)
    return est_server


@pytest.fixture
def connect(server: ReferenceServer) -> Callable[..., EstClient]:
    def open_client(**options) -> EstClient:
        options = {"credentials": Credentials(str(server.user), Secret(server.password))} | options
        return EstClient(server.url, options.pop("trust", anchors_of(server)), **options)

    return open_client


@pytest.fixture
def client(connect: Callable[..., EstClient]) -> Iterator[EstClient]:
    with connect() as opened:
        yield opened


def certified(client: EstClient, key: PrivateKey) -> DecryptionKey:
    return DecryptionKey(client.enroll(key, SPEC, wishes=None).certificate, key)


def require_good(got: ServerKey, server: ReferenceServer, kind: KeyType = KeyType.EC_P256) -> None:
    """The key is the certificate's and no longer than it says; the certificate is one the server knows of."""
    key = load_der_private_key(got.private_key.reveal(), None)
    assert isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey))
    assert key.public_key() == got.certificate.public_key()
    assert KeyType.of(key.public_key()) is kind
    assert got.certificate.subject == SPEC.subject
    assert got.chain[0] == got.certificate
    assert got.anchor in anchors_of(server).explicit
    assert got.differences == ()
    assert f"{got.certificate.serial_number:x}" == server.est.register.entries()[-1]["serial"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072"])
def test_est_195_a_key_in_the_clear(kind: str, client: EstClient, server: ReferenceServer) -> None:
    got = client.serverkeygen(SPEC, allow_clear=True, key_type=KeyType(kind))
    require_good(got, server, KeyType(kind))
    assert server.log()[-1]["private_key"] == "clear"


@pytest.mark.parametrize("size", [16, 24, 32])
def test_est_196_a_key_encrypted_to_a_shared_secret(size: int, client: EstClient, server: ReferenceServer) -> None:
    server.est.server_keys.secrets.add(b"other", SECRET[:size])
    got = client.serverkeygen(SPEC, decrypt=SharedKey(b"other", Secret(SECRET[:size])))
    require_good(got, server)
    assert server.log()[-1]["private_key"] == "encrypted"


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.2", None])
@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072", "rsa-4096"])
def test_est_196_a_key_encrypted_to_a_certificate(
    kind: str, version: str | None, connect: Callable[..., EstClient], server: ReferenceServer
) -> None:
    """Key agreement and key transport, the one to decrypt being named by its subjectKeyIdentifier."""
    ours: PrivateKey = (
        ec.generate_private_key(KeyType(kind).curve)
        if KeyType(kind).is_ec
        else rsa.generate_private_key(65537, KeyType(kind).key_bits)
    )
    with connect(max_tls_version=version) as client:
        require_good(client.serverkeygen(SPEC, decrypt=certified(client, ours)), server)


def test_est_191_the_request_is_that_of_an_enrolment(
    connect: Callable[..., EstClient], server: ReferenceServer
) -> None:
    """Bound to its connection, with what /csrattrs asks for; authenticated by a certificate as well as by a password."""
    server.policy.require_binding = True
    with connect(max_tls_version="1.2") as client:
        require_good(client.serverkeygen(SPEC, decrypt=SHARED), server)
        assert server.log()[-1]["binding"] == "tls-unique"
        key = ec.generate_private_key(ec.SECP256R1())
        identity = TlsIdentity((client.enroll(key, SPEC).certificate,), key)
    with connect(credentials=None, identity=identity) as client:
        require_good(client.serverkeygen(SPEC, decrypt=DecryptionKey(identity.chain[0], key)), server)
    entry = server.log()[-1]
    assert (entry["authentication"], entry["binding"]) == ("tls", "tls-exporter")


def test_est_100_one_use_of_a_connection(client: EstClient, server: ReferenceServer) -> None:
    """Whether a key came or not."""
    client.serverkeygen(SPEC, allow_clear=True)
    server.faults.parse("status=403@serverkeygen")
    with pytest.raises(HttpStatusError):
        client.serverkeygen(SPEC, allow_clear=True)
    server.faults.clear()
    client.serverkeygen(SPEC, allow_clear=True)
    asked = [entry for entry in server.log() if entry["operation"] == "serverkeygen" and entry["status"] != 401]
    assert [entry["status"] for entry in asked] == [200, 403, 200]
    assert len({entry["connection"] for entry in asked}) == 3


def test_est_191_the_key_that_signs_is_not_the_key_that_comes(client: EstClient, server: ReferenceServer) -> None:
    """By default the signer is made for the one request; two requests have two keys."""
    ours = ec.generate_private_key(ec.SECP384R1())
    got = client.serverkeygen(SPEC, ours, allow_clear=True)
    require_good(got, server, KeyType.EC_P384)
    assert got.certificate.public_key() != ours.public_key()
    again = client.serverkeygen(SPEC, ours, allow_clear=True)
    assert again.certificate.public_key() != got.certificate.public_key()


@pytest.mark.slow
def test_the_servers_wish_for_a_key_type_is_followed(client: EstClient, server: ReferenceServer) -> None:
    """/csrattrs says what to ask for, unless the caller does."""
    server.policy.csrattrs = ["1.3.132.0.34"]
    require_good(client.serverkeygen(SPEC, allow_clear=True), server, KeyType.EC_P384)
    require_good(client.serverkeygen(SPEC, allow_clear=True, key_type=KeyType.RSA_2048), server, KeyType.RSA_2048)
    server.policy.serverkeygen_types = ("ec-p521",)
    require_good(client.serverkeygen(SPEC, allow_clear=True), server, KeyType.EC_P521)


def test_est_190_off_by_default_and_not_with_an_implicit_anchor(
    connect: Callable[..., EstClient], server: ReferenceServer
) -> None:
    both = ServerTrust(anchors_of(server).explicit, implicit=True)
    with connect(trust=both) as client, pytest.raises(ConfigurationError, match="operating system"):
        client.serverkeygen(SPEC, allow_clear=True)
    assert server.log() == []
    server.policy.serverkeygen = set()
    with connect() as client, pytest.raises(HttpStatusError) as caught:
        client.serverkeygen(SPEC, allow_clear=True)
    assert caught.value.status_code == 404


def test_somebody_decides_how_the_key_travels(client: EstClient, server: ReferenceServer) -> None:
    with pytest.raises(ConfigurationError, match="protected beyond TLS"):
        client.serverkeygen(SPEC)
    with pytest.raises(ConfigurationError, match="at once"):
        client.serverkeygen(SPEC, decrypt=SHARED, allow_clear=True)
    assert server.log() == []


def test_est_193_an_unknown_key_identifier(client: EstClient, server: ReferenceServer) -> None:
    """An error, and no key: nothing is issued."""
    with pytest.raises(HttpStatusError, match="no shared secret") as caught:
        client.serverkeygen(SPEC, decrypt=SharedKey(b"who?", Secret(SECRET)))
    assert caught.value.status_code == 400
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(HttpStatusError, match="no valid certificate"):
        client.serverkeygen(SPEC, decrypt=DecryptionKey(Ca.root("x").certify("x", key.public_key()), key))
    assert server.est.register.entries() == []


def test_est_193_a_revoked_or_expired_certificate_is_unknown(client: EstClient, server: ReferenceServer) -> None:
    decrypt = certified(client, ec.generate_private_key(ec.SECP256R1()))
    server.est.register.revoke(f"{decrypt.certificate.serial_number:x}")
    with pytest.raises(HttpStatusError, match="no valid certificate"):
        client.serverkeygen(SPEC, decrypt=decrypt)
    server.policy.lifetime = timedelta(days=1)
    decrypt = certified(client, ec.generate_private_key(ec.SECP256R1()))
    real = server.clock
    server.clock = lambda: real() + timedelta(days=2)
    with pytest.raises(HttpStatusError, match="no valid certificate"):
        client.serverkeygen(SPEC, decrypt=decrypt)


@pytest.mark.parametrize(
    ("forms", "options", "said"),
    [
        ({"secret", "certificate"}, {"allow_clear": True}, "encrypted only"),
        ({"clear"}, {"decrypt": SHARED}, "no shared secret"),
    ],
)
def test_the_servers_policy_of_forms(
    forms: set[str], options: dict, said: str, client: EstClient, server: ReferenceServer
) -> None:
    server.policy.serverkeygen = forms
    with pytest.raises(HttpStatusError, match=said):
        client.serverkeygen(SPEC, **options)


READ = ["lf", "equals", "headless", "pem", "der", "turned", "preamble", "quoted", "pkcs1"]


@pytest.mark.slow
@pytest.mark.parametrize("variant", READ)
def test_est_199_multipart_in_every_form(variant: str, client: EstClient, server: ReferenceServer) -> None:
    server.faults.set("multipart", variant)
    require_good(client.serverkeygen(SPEC, allow_clear=True, key_type=KeyType.RSA_2048), server, KeyType.RSA_2048)


@pytest.mark.parametrize("variant", ["lf", "headless", "der", "turned", "preamble", "quoted"])
def test_est_199_multipart_with_an_envelope(variant: str, client: EstClient, server: ReferenceServer) -> None:
    server.faults.set("multipart", variant)
    require_good(client.serverkeygen(SPEC, decrypt=SHARED), server)


@pytest.mark.slow
def test_202_is_waited_for(connect: Callable[..., EstClient], server: ReferenceServer) -> None:
    """As in an enrolment: a person approves, and the key is made only then; the next copy of the request may have another key."""
    server.policy.require_approval = True
    with connect() as client, pytest.raises(EnrolmentPendingError):
        client.serverkeygen(SPEC, decrypt=SHARED)
    assert server.est.register.entries() == []
    assert len(server.est.queue.entries()) == 1
    seen = []

    def approve(pending) -> None:
        seen.append(pending.retry_after_s)
        server.est.queue.decide(None, approve=True)

    with connect() as client:
        require_good(client.serverkeygen(SPEC, decrypt=SHARED, wait_s=60, progress=approve), server)
    assert seen == [1.0]
    assert server.est.queue.entries() == []
    with connect() as client, pytest.raises(EnrolmentPendingError):
        client.serverkeygen(SPEC, decrypt=SHARED)


def test_a_denied_request(connect: Callable[..., EstClient], server: ReferenceServer) -> None:
    server.policy.require_approval = True
    with connect() as client:
        with pytest.raises(EnrolmentPendingError):
            client.serverkeygen(SPEC, decrypt=SHARED)
        server.est.queue.decide(None, approve=False)
        with pytest.raises(HttpStatusError, match="denied"):
            client.serverkeygen(SPEC, decrypt=SHARED)


@pytest.mark.slow
@pytest.mark.parametrize("after_202", ["rebuild", "keep-connection", "same-csr"])
def test_202_with_every_policy_of_repetition(
    after_202: After202, connect: Callable[..., EstClient], server: ReferenceServer
) -> None:
    server.faults.set("retry_after", "1", times=1, operation="serverkeygen")
    with connect(compatibility=Compatibility(after_202=after_202)) as client:
        require_good(client.serverkeygen(SPEC, decrypt=SHARED, wait_s=60), server)


def test_label(connect: Callable[..., EstClient], server: ReferenceServer) -> None:
    server.policy.labels = {"lab"}
    with connect(label="lab") as client:
        require_good(client.serverkeygen(SPEC, decrypt=SHARED), server)
    assert server.log()[-1]["path"] == "/.well-known/est/lab/serverkeygen"


@pytest.mark.slow
def test_est_202_the_key_is_in_no_log_and_no_repr(
    client: EstClient, server: ReferenceServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Neither on the client's side nor in what the server wrote down: it archives nothing."""
    caplog.set_level(logging.DEBUG)
    got = client.serverkeygen(SPEC, allow_clear=True)
    der = got.private_key.reveal()
    secret = der[36:68]  # the private scalar of a P-256 key in PKCS#8
    assert load_der_private_key(der, None).private_numbers().private_value == int.from_bytes(secret, "big")
    told = caplog.text + repr(got) + str(server.log())
    assert secret.hex() not in told
    assert repr(secret) not in told
    client.close()
    gc.collect()
    for file in server.state.rglob("*"):
        if file.is_file():
            assert secret not in file.read_bytes(), file


def test_decryption_keys_that_cannot_be(client: EstClient) -> None:
    """RFC 7030 section 4.4.1.2: explicitly support keyTransport or keyAgreement, or be unrestricted."""
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = Ca.root("x")
    with pytest.raises(ConfigurationError, match="another key"):
        DecryptionKey(ca.certify("x", key.public_key()), other)
    signing = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    certificate = ca.certify("x", key.public_key(), extensions=[(signing, True)])
    with pytest.raises(ConfigurationError, match="KeyUsage"):
        DecryptionKey(certificate, key)
    assert DecryptionKey(ca.certify("x", key.public_key()), key).identifier == (
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
    )
