"""Renewal and rekey against a scripted server: RFC 7030 section 4.2.2, EST-150 to EST-153."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID, ObjectIdentifier

from device_sdk.client.est import EstClient
from device_sdk.client.est.renewal import renewal_spec, require_same_identity
from device_sdk.errors import CertificateMismatchError, ConfigurationError, LocalProtocolError
from device_sdk.model.csr import CsrSpec, DeviceAttributes
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.wire import der
from device_sdk.wire.csr import build_csr
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.csrattrs_oids import EXTENSION_REQUEST
from tests.est.answers import bag, issue
from tests.est.pki import DAY, NOW, certs_only, name, new_key, one_line
from tests.est.scripted_server import http, pkcs7

# Every string type a subject may come in; a server that compares bytes refuses any other (interop facts, strongSwan).
SUBJECT = x509.Name(
    [
        x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COUNTRY_NAME, "DE")]),
        x509.RelativeDistinguishedName(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Printable", _type=_ASN1Type.PrintableString)]
        ),
        x509.RelativeDistinguishedName(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, "device 1", _type=_ASN1Type.UTF8String),
                x509.NameAttribute(NameOID.SERIAL_NUMBER, "4711"),
            ]
        ),
        x509.RelativeDistinguishedName(
            [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Bmp", _type=_ASN1Type.BMPString)]
        ),
    ]
)
SAN = x509.SubjectAlternativeName(
    [
        x509.DNSName("device.example"),
        x509.OtherName(ObjectIdentifier("1.3.6.1.5.5.7.8.4"), bytes.fromhex("300906032a030404023031")),
        x509.UniformResourceIdentifier("urn:dev:1"),
        x509.DirectoryName(name("other")),
    ]
)


@pytest.fixture
def current(ca) -> TlsIdentity:
    key = new_key()
    return TlsIdentity((ca.certify(SUBJECT, key.public_key(), extensions=[(SAN, False)]),), key)


@pytest.fixture
def server(ca, serve):
    return serve(
        cacerts=bag(ca.certificate),
        simplereenroll=issue(ca),
        options={"client_ca": ca.certificate},
    )


def client_of(server, ca, identity=None) -> EstClient:
    return EstClient(server.url, ServerTrust(explicit=(ca.certificate,)), identity=identity)


def test_est_150_est_152_rekey_repeats_subject_and_names_over_its_own_certificate(ca, server, current):
    key = new_key()
    with client_of(server, ca, current) as client:
        enrolled = client.reenroll(key)
    post = server.seen[-1]
    assert post.line == "POST /.well-known/est/simplereenroll"
    assert post.client_certificate == current.chain[0]
    assert server.connections == 1
    csr = x509.load_der_x509_csr(base64.b64decode(post.body))
    assert csr.public_key() == key.public_key() == enrolled.certificate.public_key()
    encoded_subject = current.chain[0].subject.public_bytes()
    assert encoded_subject in base64.b64decode(post.body)
    assert encoded_subject in current.chain[0].tbs_certificate_bytes
    san = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.public_bytes() in current.chain[0].tbs_certificate_bytes
    assert enrolled.differences == ()


def test_est_151_renewal_with_the_same_key(ca, server, current):
    with client_of(server, ca, current) as client:
        enrolled = client.reenroll(current.key)
    assert enrolled.certificate.public_key() == current.key.public_key()
    assert enrolled.certificate != current.chain[0]


def the_old_again(current: TlsIdentity, *others: x509.Certificate):
    return lambda _seen: pkcs7(one_line(certs_only(current.chain[0], *others)))


def test_est_139_the_old_certificate_for_the_same_key_renews_nothing(ca, server, current):
    """Nor does another that was issued before it; a new one is found beside the old one, dated alike."""
    public, san = current.key.public_key(), [(SAN, False)]
    older = ca.certify(SUBJECT, public, extensions=san, not_before=NOW - 3 * DAY, not_after=NOW + DAY / 2)
    with client_of(server, ca, current) as est:
        for handler in (the_old_again(current), the_old_again(current, older), the_old_again(current, ca.certificate)):
            server.handlers["simplereenroll"] = handler
            with pytest.raises(CertificateMismatchError, match="that was to be renewed"):
                est.reenroll(current.key)
        new = ca.certify(SUBJECT, public, extensions=san)
        server.handlers["simplereenroll"] = the_old_again(current, new)
        assert est.reenroll(current.key).certificate == new
        rekeyed = new_key()
        new = ca.certify(SUBJECT, rekeyed.public_key(), extensions=san)
        server.handlers["simplereenroll"] = the_old_again(current, new)
        assert est.reenroll(rekeyed).certificate == new


def test_the_certificate_may_be_named(ca, server, current):
    with client_of(server, ca) as client:
        assert client.reenroll(new_key(), current.chain[0]).certificate.subject == SUBJECT


def test_further_wishes_cannot_change_the_identity(ca, server, current):
    device = DeviceAttributes(mac_address="00:00:92:90:ee:e2", serial_number="other", dns_names=("x.example",))
    wanted = CsrSpec(subject=name("somebody else"), san=(x509.DNSName("y.example"),), device=device)
    with client_of(server, ca, current) as client:
        enrolled = client.reenroll(new_key(), wanted)
    assert enrolled.certificate.subject == SUBJECT
    csr = x509.load_der_x509_csr(base64.b64decode(server.seen[-1].body))
    assert csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == SAN
    assert b"00:00:92:90:ee:e2" in base64.b64decode(server.seen[-1].body)


def test_est_150_csr_attributes_cannot_change_the_identity(ca, server, current):
    """RFC 9908 section 5.3's kind of template: a subject and a SAN of the server's own."""
    san = x509.SubjectAlternativeName([x509.DNSName("forced.example")]).public_bytes()
    extension = b"\x30" + bytes([7 + len(san)]) + bytes.fromhex("0603551d11") + b"\x04" + bytes([len(san)]) + san
    extensions = b"\x31" + bytes([2 + len(extension)]) + b"\x30" + bytes([len(extension)]) + extension
    attribute = bytes.fromhex("06092a864886f70d01090e") + extensions
    wants = b"\x30" + bytes([2 + len(attribute)]) + b"\x30" + bytes([len(attribute)]) + attribute
    assert CsrAttributes.from_bytes(wants).extensions
    server.handlers["csrattrs"] = lambda seen: http(
        200, base64.b64encode(wants), ("Content-Type", "application/csrattrs")
    )
    with client_of(server, ca, current) as client:
        enrolled = client.reenroll(new_key())
    assert enrolled.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == SAN


def test_a_renewal_without_a_certificate(ca, server):
    with client_of(server, ca) as client, pytest.raises(ConfigurationError, match="current certificate"):
        client.reenroll(new_key())
    assert server.connections == 0


@pytest.mark.parametrize("change", ["subject", "san"])
def test_est_150_another_identity_is_never_sent(current, change):
    certificate = current.chain[0]
    spec = renewal_spec(certificate)
    other = CsrSpec(name("x"), spec.san) if change == "subject" else CsrSpec(spec.subject, ())
    csr = x509.load_der_x509_csr(build_csr(other, new_key()))
    with pytest.raises(LocalProtocolError):
        require_same_identity(csr, certificate)


def test_est_150_an_identity_given_as_an_attribute_is_not_sent(ca, server):
    """The owner's own extensionRequest, with names that the certificate does not have."""
    key = new_key()
    unnamed = TlsIdentity((ca.certify(SUBJECT, key.public_key()),), key)
    names = der.extension(x509.SubjectAlternativeName.oid.dotted_string, SAN.public_bytes(), critical=False)
    smuggled = CsrSpec(x509.Name([]), attributes=((EXTENSION_REQUEST, der.sequence(names)),))
    with client_of(server, ca, unnamed) as client, pytest.raises(LocalProtocolError, match="alternative names"):
        client.reenroll(new_key(), smuggled)
    assert not [line for line in server.lines if line.startswith("POST")]
