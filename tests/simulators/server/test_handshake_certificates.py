"""Which client certificates count: shown in real handshakes (EST-20 to EST-26)."""

from __future__ import annotations

import base64
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from device_sdk_simulators.ca.hierarchy import make_authority
from device_sdk_simulators.ca.tls import CMC_RA, TlsProfile

from tests.simulators.server.support import EST, client_context, make_csr, name
from tests.simulators.server.test_http import read_all, status_of

RA = x509.ObjectIdentifier(CMC_RA)
CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7"
SOMEBODY_ELSES_BINDING = (CHALLENGE_PASSWORD, base64.b64encode(b"finished of another session"), _ASN1Type.UTF8String)


@pytest.fixture
def maker():
    return make_authority("Maker CA", ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC))


@pytest.fixture
def show(server, maker, tmp_path):
    """Enrol over a connection on which a certificate with these usages is shown; the status, or None if TLS ends it."""
    server.policy.third_party_anchors = [maker.certificate]
    server.policy.third_party_serials = None
    server.use_tls(TlsProfile())

    def enrol(issuer, usages, csr) -> int | None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = certificate_of(issuer, key, usages)
        (tmp_path / "c.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / "k.pem").write_bytes(pem)
        context = client_context(server, certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        body = base64.b64encode(csr)
        answer = b""
        with raw, suppress(OSError), context.wrap_socket(raw, server_hostname="localhost") as sock:
            head = f"POST {EST}simpleenroll HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            sock.sendall(head.encode() + body)
            answer = read_all(sock)
        return status_of(answer) if answer else None

    return enrol


def certificate_of(issuer, key, usages) -> x509.Certificate:
    """A certificate as IEEE 802.1AR has it, with these extended key usages or, for None, without that extension."""
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "SN-1")])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.certificate.subject)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(issuer.key, hashes.SHA256())


@pytest.mark.parametrize(
    ("usages", "status"),
    [
        (None, 200),
        ([Usage.CLIENT_AUTH], 200),
        ([Usage.EMAIL_PROTECTION, Usage.CLIENT_AUTH], 200),
        ([Usage.SERVER_AUTH], None),
        ([Usage.EMAIL_PROTECTION], None),
    ],
)
def test_a_makers_certificate_needs_no_usage_but_if_it_has_some_client_auth_est_25(server, maker, show, usages, status):
    """RFC 8995 section 2.3: an IDevID should have no extended key usage; RFC 5280 section 4.2.1.12 for the rest."""
    assert show(maker, usages, make_csr()) == status
    assert [entry["authentication"] for entry in server.log()] == (["tls"] if status else [])


def test_a_registration_authority_enrols_others_est_26(server, show):
    """RFC 7030 section 3.7: its certificate is from the EST CA and has id-kp-cmcRA."""
    assert show(server.hierarchy.issuing, [Usage.CLIENT_AUTH, RA], make_csr(subject=name("dev-7"))) == 200
    assert server.log()[-1]["registration_authority"] is True
    assert show(server.hierarchy.issuing, [Usage.CLIENT_AUTH], make_csr(subject=name("dev-7"))) == 403
    assert "registration_authority" not in server.log()[-1]
    server.policy.registration_authorities = False
    assert show(server.hierarchy.issuing, [Usage.CLIENT_AUTH, RA], make_csr(subject=name("dev-7"))) == 403


def test_a_registration_authority_brings_the_binding_of_another_session_est_101(server, show, maker):
    csr = make_csr(subject=name("dev-7"), attributes=[SOMEBODY_ELSES_BINDING])
    assert show(server.hierarchy.issuing, [Usage.CLIENT_AUTH, RA], csr) == 200
    assert server.log()[-1]["binding"] == "foreign"
    # a maker's certificate with that usage is that of a device like any other
    server.policy.third_party_serials = None
    assert show(maker, [Usage.CLIENT_AUTH, RA], csr) == 400
    assert "registration_authority" not in server.log()[-1]
    server.policy.registration_authorities = False
    server.policy.enroll_with_certificate = "any"
    assert show(server.hierarchy.issuing, [Usage.CLIENT_AUTH, RA], csr) == 400


@pytest.mark.slow
def test_nobody_becomes_a_registration_authority_by_asking_est_26(server, show, maker):
    csr = make_csr(extensions=[(x509.ExtendedKeyUsage([Usage.CLIENT_AUTH, RA]), False)])
    assert show(maker, None, csr) == 400
    assert show(server.hierarchy.issuing, [Usage.CLIENT_AUTH, RA], csr) == 400
    # nor by the word of a maker: its devices are devices, and this one is not on the list
    server.policy.third_party_serials = {"SN-2"}
    assert show(maker, [Usage.CLIENT_AUTH, RA], make_csr(subject=name("dev-7"))) == 403
    assert "registration_authority" not in server.log()[-1]
