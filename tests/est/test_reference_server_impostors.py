"""The reference server does not help one client to pass for another, or for itself (RFC 7030 section 6), over TLS."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from device_sdk_simulators.ca.tls import TlsProfile

from device_sdk.client.est import Credentials, DecryptionKey, EstClient
from device_sdk.errors import DeviceSdkError, EnrolmentPendingError
from device_sdk.model.csr import CsrSpec, NewName
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.wire.names import parse_dn, parse_san
from tests.est.pki import Ca, new_key
from tests.simulators.command import sim

IDEVID = parse_dn("CN=lamp,serialNumber=SN-1")


@pytest.fixture
def connect(est_server) -> Callable[..., EstClient]:
    anchors = tuple(x509.load_pem_x509_certificates(est_server.ca_file.read_bytes()))

    def open_client(user: str | None = None, identity: TlsIdentity | None = None) -> EstClient:
        credentials = None
        if user is not None:
            password = est_server.password if user == est_server.user else f"password of {user}"
            credentials = Credentials(user, Secret(password))
        return EstClient(est_server.url, ServerTrust(explicit=anchors), credentials=credentials, identity=identity)

    return open_client


@pytest.fixture
def made(est_server) -> Callable[[str], TlsIdentity]:
    """Devices of known makers, all of one subject."""

    def make(maker: str) -> TlsIdentity:
        ca, key = Ca.root(maker), new_key()
        est_server.policy.third_party_anchors.append(ca.certificate)
        est_server.policy.third_party_serials |= {(ca.certificate.subject.rfc4514_string(), "SN-1")}
        est_server.use_tls(TlsProfile())
        return TlsIdentity((ca.certify(IDEVID, key.public_key()),), key)

    return make


@pytest.mark.parametrize(
    "new",
    [
        NewName(parse_dn("CN=x"), (parse_san("DNS:localhost"),)),
        NewName(parse_dn("CN=x"), (parse_san("DNS:LocalHost"),)),
        NewName(parse_dn("CN=x"), (parse_san("IP:127.0.0.1"),)),
        NewName(san=(parse_san("DNS:other.example"), parse_san("DNS:localhost"))),
        NewName(parse_dn("CN=localhost")),
    ],
    ids=["dns", "other case", "address", "no subject", "common name"],
)
@pytest.mark.parametrize("operation", ["simpleenroll", "fullcmc"])
def test_est_137_the_new_name_is_not_the_servers_own(est_server, connect, made, operation, new) -> None:
    """RFC 6402 section 2.8: the CA may refuse a name. What may not be in the request may not be in the attribute."""
    est_server.policy.fullcmc = True
    with connect(identity=made("Maker")) as client:
        enroll: Any = client.fullcmc.enroll if operation == "fullcmc" else client.enroll
        with pytest.raises(DeviceSdkError, match="is a name of this server"):
            enroll(new_key(), CsrSpec(IDEVID, new_name=new))
        assert est_server.est.register.entries() == []
        # the way itself is open
        enroll(new_key(), CsrSpec(IDEVID, new_name=NewName(parse_dn("CN=x"), (parse_san("DNS:x.example"),))))
    assert [row["subject"] for row in est_server.est.register.entries()] == ["CN=x"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/.well-known/est/x%2Fcacerts", 404),
        ("/.well-known/est%2Fcacerts", 404),
        ("/.well-known%2Fest/cacerts", 404),
        ("/.well-known/est/x%2Fy/cacerts", 404),
        ("/.well-known/est", 404),
        ("/.well-known/est/", 404),
        ("/.well-known/est/%78/cacerts", 200),
        ("/.well-known/est/x/%63acerts?a/b", 200),
        ("/%2Ewell-known/est/cacerts", 200),
    ],
)
def test_est_06_a_path_is_split_before_it_is_decoded(est_server, path, status) -> None:
    """RFC 3986 section 2.4: an encoded slash is part of a segment and separates nothing."""
    est_server.policy.labels = {"x"}
    context = ssl.create_default_context(cafile=str(est_server.ca_file))
    connection = http.client.HTTPSConnection("localhost", est_server.port, context=context, timeout=20)
    try:
        connection.request("GET", path)
        assert connection.getresponse().status == status
    finally:
        connection.close()


def enrolled(client: EstClient, spec: CsrSpec) -> TlsIdentity:
    key = new_key()
    with client:
        return TlsIdentity(client.enroll(key, spec).chain, key)


def generated(client: EstClient, spec: CsrSpec) -> bool:
    """Whether the server gave a certificate and a key; False if the request waits."""
    with client:
        try:
            client.serverkeygen(spec, allow_clear=True)
        except EnrolmentPendingError:
            return False
    return True


@pytest.fixture
def approving(est_server):
    """Somebody has to approve; private keys are given away in the clear."""
    est_server.policy.require_approval, est_server.policy.serverkeygen = True, {"clear"}
    return est_server


def test_est_163_devices_of_two_makers_are_two_devices(approving, connect, made) -> None:
    """RFC 7030 section 4.4: who collects an approved key is who asked for it, not who has a subject like that."""
    alice, mallory = made("Maker A"), made("Maker B")
    spec = CsrSpec(IDEVID)
    assert not generated(connect(identity=alice), spec)
    approving.est.queue.decide(None, approve=True)
    assert not generated(connect(identity=mallory), spec)
    assert approving.est.register.entries() == []
    assert generated(connect(identity=alice), spec)
    first, second = (row["identity"] for row in approving.est.queue.entries()), approving.est.register.entries()
    assert [*first] != [row["issued_to"] for row in second]


def test_est_163_users_who_chose_one_subject_are_two_users(approving, connect) -> None:
    """Certificates of this CA: each is its own, and what it is renewed by stays the same device."""
    approving.policy.require_approval = False
    spec = CsrSpec(parse_dn("CN=lamp"))
    for user in ("alice", "mallory"):
        approving.users.add(user, f"password of {user}")
    alice, mallory = enrolled(connect("alice"), spec), enrolled(connect("mallory"), spec)
    approving.policy.require_approval = True
    assert not generated(connect(identity=alice), spec)
    approving.est.queue.decide(None, approve=True)
    approving.policy.require_approval = False
    for _ in range(2):
        key = new_key()
        with connect(identity=alice) as client:
            alice = TlsIdentity(client.reenroll(key).chain, key)
    approving.policy.require_approval = True
    assert not generated(connect(identity=mallory), spec)
    assert generated(connect(identity=alice), spec)


BANK = parse_san("DNS:bank.example")
SERVER_USE = x509.Extension(
    x509.ExtendedKeyUsage.oid, False, x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")])
)


@pytest.mark.parametrize(
    "more",
    [{"san": (BANK,)}, {"extensions": (SERVER_USE,)}, {"new_name": NewName(parse_dn("CN=bank"), (BANK,))}],
    ids=["names", "usages", "new name"],
)
def test_est_163_what_is_collected_is_what_was_approved(approving, connect, made, more) -> None:
    """The same key and subject with more to say is another request, which waits; the approved one is still there."""
    device, key = made("Maker"), new_key()
    plain, swapped = CsrSpec(IDEVID), CsrSpec(IDEVID, **more)
    with connect(identity=device) as client:
        for spec, approve in ((plain, True), (swapped, False), (swapped, False)):
            with pytest.raises(EnrolmentPendingError):
                client.enroll(key, spec)
            if approve:
                approving.est.queue.decide(None, approve=True)
        assert approving.est.register.entries() == []
        assert [row["state"] for row in approving.est.queue.entries()] == ["approved", "waiting"]
        assert client.enroll(key, plain).certificate.subject == IDEVID


@pytest.mark.slow
def test_est_163_who_approves_sees_what(approving, connect, made) -> None:
    """`device-sdk-sim list` shows alternative names, usages and the new name, in words and in JSON."""
    spec = CsrSpec(IDEVID, (BANK,), extensions=(SERVER_USE,), new_name=NewName(parse_dn("CN=director"), (BANK,)))
    with connect(identity=made("Maker")) as client, pytest.raises(EnrolmentPendingError):
        client.enroll(new_key(), spec)
    for words in ((), ("--json",)):
        shown = sim("list", "--state", approving.state, *words).stdout
        for expected in ("SAN DNSName:bank.example", "EKU serverAuth", "to be called CN=director; SAN DNSName:bank"):
            assert expected in shown


def test_est_196_nobody_has_the_key_identifier_of_another(approving, connect) -> None:
    """RFC 7030 section 4.4.1.2: a private key is encrypted to a key of who asks; identifiers are the server's to compute."""
    approving.policy.require_approval, approving.policy.serverkeygen = False, {"certificate"}
    for user in ("alice", "mallory"):
        approving.users.add(user, f"password of {user}")
    alice = enrolled(connect("alice"), CsrSpec(parse_dn("CN=alice")))
    ski = alice.chain[0].extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    wish = CsrSpec(parse_dn("CN=mallory"), extensions=(x509.Extension(ski.oid, False, ski),))
    with pytest.raises(DeviceSdkError, match="subjectKeyIdentifier is not that of the key"):
        enrolled(connect("mallory"), wish)
    decrypt = DecryptionKey(alice.chain[0], alice.key)
    with connect("mallory") as client, pytest.raises(DeviceSdkError, match="no valid certificate"):
        client.serverkeygen(CsrSpec(parse_dn("CN=m")), decrypt=decrypt)
    with connect("alice") as client:
        assert client.serverkeygen(CsrSpec(parse_dn("CN=a")), decrypt=decrypt)
