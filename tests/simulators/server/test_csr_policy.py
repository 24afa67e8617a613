"""What the server certifies and what not: EST-40, EST-135, EST-140, EST-143, EST-173."""

from __future__ import annotations

import base64

import pytest
from asn1crypto import core, parser
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from device_sdk_simulators.csr_demand import Demand, DemandedExtension
from device_sdk_simulators.est.ber import to_der
from device_sdk_simulators.http.messages import Request, TlsFacts
from device_sdk_simulators.server import ReferenceServer
from pyasn1.codec.ber.encoder import encode as encode_ber
from pyasn1.codec.der.decoder import decode
from pyasn1_alt_modules import rfc2986, rfc8951

from tests.simulators.server.odd_csrs import dh_key, resealed, unsigned, with_key
from tests.simulators.server.support import EST, certificates_in, make_csr, name, post

P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
POLICY = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])


def said(server, csr: bytes, **options) -> tuple[int, str]:
    response = post(server, csr, **options)
    assert (response.status == 200) == bool(server.est.register.entries()), "refused, and nothing was issued"
    return response.status, response.body.decode() if response.status != 200 else ""


def issued(server, csr: bytes) -> x509.Certificate:
    response = post(server, csr)
    assert response.status == 200, response.body
    return certificates_in(response)[0]


def sans(*names: str) -> tuple[x509.SubjectAlternativeName, bool]:
    import ipaddress

    def general(text):
        try:
            return x509.IPAddress(ipaddress.ip_address(text))
        except ValueError:
            return x509.DNSName(text)

    return x509.SubjectAlternativeName([general(one) for one in names]), False


def key_usage(*names: str) -> x509.KeyUsage:
    bits = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
            "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
    return x509.KeyUsage(**{bit: bit in names for bit in bits})


@pytest.mark.parametrize(
    "own",
    [
        "localhost",
        "LocalHost.",
        "127.0.0.1",
        "::1",
        "*",
        "l*",
        "est.example",
        "EST.example.",
        "*.example",
        "e*.example",
    ],
)
@pytest.mark.parametrize("operation", ["simpleenroll", "simplereenroll"])
def test_nobody_gets_a_certificate_for_the_servers_own_names(tmp_path, own, operation):
    """EST-143: With it a device could pose as the EST server to all others, who trust its CA."""
    from device_sdk_simulators.ca.tls import TlsProfile

    with ReferenceServer(tmp_path / "s", tls=TlsProfile(names=("est.example",))) as server:
        server.policy.reenroll_with_password = True
        for extensions in ([sans("dev-1.lan", own)], [sans(own), (x509.ExtendedKeyUsage([Usage.SERVER_AUTH]), False)]):
            status, text = said(server, make_csr(extensions=extensions))
            assert (status, "name of this server" in text) == (403, True), text
        if own.isascii() and "*" not in own:
            assert said(server, make_csr(subject=name(own)))[0] == 403


@pytest.mark.parametrize("other", ["localhost.example", "dev.localhost", "example", "127.0.0.2", "::2", "*.lan"])
def test_other_names_are_the_devices_affair(server, other):
    extensions = [sans(other), (x509.ExtendedKeyUsage([Usage.SERVER_AUTH, Usage.CLIENT_AUTH]), False)]
    assert issued(server, make_csr(extensions=extensions))


def test_names_the_server_gets_later_are_its_own_too(server):
    from device_sdk_simulators.ca.tls import TlsProfile

    server.use_tls(TlsProfile(names=("later.example",)))
    assert said(server, make_csr(extensions=[sans("later.example")]))[0] == 403


# RFC 5272 section 3.1, EST-140: an extension is never changed so that its intent is lost, and never dropped.


@pytest.mark.parametrize(
    ("key", "usage"),
    [
        (P256, ("digital_signature",)),
        (P256, ("key_agreement",)),
        (P256, ("key_agreement", "encipher_only")),
        (RSA, ("key_encipherment",)),
        (RSA, ("digital_signature", "content_commitment", "data_encipherment")),
    ],
)
def test_key_usage(server, key, usage):
    """EST-134, EST-140: also one that forbids signatures; the request is signed all the same."""
    asked = key_usage(*usage)
    certificate = issued(server, make_csr(key, extensions=[(asked, False)]))
    found = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert (found.value, found.critical) == (asked, True)


@pytest.mark.parametrize(
    ("key", "usage"),
    [
        (P256, ("key_encipherment",)),
        (P256, ("digital_signature", "key_cert_sign")),
        (P256, ("digital_signature", "crl_sign")),
        (RSA, ("key_agreement",)),
        (RSA, ("key_agreement", "decipher_only")),
        (RSA, ()),
    ],
)
def test_key_usage_that_cannot_be(server, key, usage):
    status, text = said(server, make_csr(key, extensions=[(key_usage(*usage), True)]))
    assert (status, text[:9]) == (400, "key usage"), text


def test_defaults_where_nothing_was_asked_for(server):
    found = issued(server, make_csr(P256)).extensions
    assert found.get_extension_for_class(x509.KeyUsage).value == key_usage("digital_signature", "key_agreement")
    assert list(found.get_extension_for_class(x509.ExtendedKeyUsage).value) == [Usage.CLIENT_AUTH]


@pytest.mark.parametrize("critical", [True, False])
def test_extended_key_usage(server, critical):
    asked = x509.ExtendedKeyUsage([Usage.EMAIL_PROTECTION, Usage.CLIENT_AUTH])
    found = issued(server, make_csr(extensions=[(asked, critical)])).extensions
    assert found.get_extension_for_class(x509.ExtendedKeyUsage).value == asked
    assert found.get_extension_for_class(x509.ExtendedKeyUsage).critical == critical


def test_subject_key_identifier(server):
    """EST-140: The server computes it; another one is refused."""
    key = ec.generate_private_key(ec.SECP256R1())
    asked = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    found = issued(server, make_csr(key, extensions=[(asked, False)])).extensions
    assert found.get_extension_for_class(x509.SubjectKeyIdentifier).value == asked
    assert post(server, make_csr(extensions=[(asked, False)])).status == 400


def test_basic_constraints_of_an_end_entity(server):
    asked = x509.BasicConstraints(ca=False, path_length=None)
    found = issued(server, make_csr(extensions=[(asked, False)])).extensions
    assert found.get_extension_for_class(x509.BasicConstraints).value == asked


@pytest.mark.parametrize(
    ("extension", "critical"),
    [
        (POLICY, False),
        (POLICY, True),
        (x509.TLSFeature([x509.TLSFeatureType.status_request]), False),
        (x509.OCSPNoCheck(), False),
        (x509.NameConstraints([x509.DNSName("example")], None), True),
        (x509.AuthorityKeyIdentifier(b"x", None, None), False),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2"), b"\x13\x01x"), False),
        (x509.SubjectKeyIdentifier(b"x"), True),
        (x509.SubjectKeyIdentifier(b"x" * 5000), False),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.9"), b"\x30\x00"), True),
    ],
)
def test_everything_else_is_refused_by_name(server, extension, critical):
    """EST-140."""
    status, text = said(server, make_csr(extensions=[(extension, critical)]))
    assert (status, f"extension {extension.oid.dotted_string}" in text) == (400, True), text


@pytest.mark.slow
@pytest.mark.parametrize("critical", [True, False])
def test_what_the_policy_copies_is_copied_byte_for_byte(server, critical):
    """EST-140."""
    server.policy.copied_extensions = {"2.5.29.32"}
    found = issued(server, make_csr(extensions=[(POLICY, critical)])).extensions
    assert found.get_extension_for_class(x509.CertificatePolicies).value == POLICY
    assert found.get_extension_for_class(x509.CertificatePolicies).critical == critical


@pytest.mark.slow
def test_what_csrattrs_asked_for_is_taken(server):
    server.policy.demands = [Demand(extensions=(DemandedExtension("2.5.29.32"),))]
    assert issued(server, make_csr(extensions=[(POLICY, False)]))


@pytest.fixture(scope="module")
def exponent_3():
    return rsa.generate_private_key(3, 2048)


@pytest.mark.slow
def test_small_exponents_are_refused_est_143(server, exponent_3):
    status, text = said(server, make_csr(exponent_3))
    assert (status, "65537" in text) == (400, True), text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_key(x25519.X25519PrivateKey.generate().public_key()), "cannot sign"),
        (unsigned, "not signed"),
        (dh_key, "key cannot be read"),
    ],
)
def test_keys_that_cannot_sign_are_for_fullcmc_est_135(server, change, words):
    status, text = said(server, resealed(make_csr(), change))
    assert (status, words in text) == (400, True), text


@pytest.mark.parametrize("make", [ed25519.Ed25519PrivateKey.generate, ed448.Ed448PrivateKey.generate])
def test_edwards_curves_are_an_option_est_143(server, make):
    key = make()
    csr = x509.CertificateSigningRequestBuilder().subject_name(name()).sign(key, None).public_bytes(Encoding.DER)
    assert said(server, csr)[0] == 400
    server.policy.curves = (*server.policy.curves, "ed25519", "ed448")
    certificate = issued(server, csr)
    assert certificate.public_key() == key.public_key()
    found = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert found == key_usage("digital_signature")
    assert post(server, resealed(csr, lambda request: request.setComponentByName("signature", "1" * 512))).status == 400


@pytest.mark.slow
def test_rsa_can_be_switched_off_est_143(server):
    server.policy.rsa_keys = False
    assert said(server, make_csr(RSA)) == (400, "RSA keys are not accepted here\n")


def indefinite(der: bytes) -> bytes:
    """The same with indefinite lengths wherever there are parts, by another ASN.1 library's writer."""
    request, _ = decode(der, asn1Spec=rfc2986.CertificationRequest())
    return bytes(encode_ber(request, defMode=False))


def long_lengths(der: bytes) -> bytes:
    """The same with four bytes for every outer length."""
    _, _, _, _, content, _ = parser.parse(der)
    return b"\x30\x84" + len(content).to_bytes(4) + content


def in_pieces(der: bytes) -> bytes:
    """The signature as a bit string in two parts (X.690 section 8.6.4)."""
    request = core.Sequence.load(der)
    info, algorithm, signature = (request[index].dump() for index in range(3))
    bits = signature[signature[1] // 128 * (signature[1] & 127) + 2 :] if signature[1] > 127 else signature[2:]
    parts = [b"\x00" + bits[1:20], bits[:1] + bits[20:]]
    pieces = b"".join(b"\x03" + bytes([len(one)]) + one for one in parts)
    return b"\x30\x80" + info + algorithm + b"\x23\x80" + pieces + b"\0\0\0\0"


@pytest.mark.parametrize("form", [indefinite, long_lengths, in_pieces])
@pytest.mark.parametrize("armour", [base64.b64encode, bytes])
def test_requests_in_ber_are_read_est_40(server, form, armour):
    """RFC 5967 section 2.1. The signature is over DER, so it proves that nothing else was changed."""
    der = make_csr(P256, extensions=[sans("dev-1.lan")])
    ber = form(der)
    assert ber != der
    assert to_der(ber) == der
    tls = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    login = "Basic " + base64.b64encode(f"device:{server.password}".encode()).decode()
    response = server.handle(Request("POST", EST + "simpleenroll", [("Authorization", login)], armour(ber), tls))
    assert response.status == 200, response.body
    assert certificates_in(response)[0].public_key() == P256.public_key()


@pytest.mark.parametrize(
    "ber",
    [
        b"\x30\x80",
        b"\x30\x80\x00",
        b"\x30\x80\x02\x80\x00\x00\x00\x00",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\xff" + b"\xff" * 127,
        b"\x30\x80" * 5000,
        b"\x30\x80" * 34 + b"\x00\x00" * 34,
        b"\x30\x03\x30\x05\x00",
        b"\x3f\x81\x01\x00",
        b"\x30\x80\x23\x80\x04\x01\x00\x00\x00\x00\x00",
        b"\x23\x80\x03\x02\x01\x00\x03\x02\x00\x00\x00\x00",
        b"\x23\x80\x03\x00\x00\x00",
        b"\x23\x80\x00\x00",
        b"\x24\x80\x30\x00\x00\x00",
        b"\x30\x80\x00\x00\x00",
    ],
)
def test_ber_that_is_none_is_refused(server, ber):
    with pytest.raises(ValueError, match=r"object|length|string|tag"):
        to_der(ber)
    assert said(server, ber)[0] == 400


def listed(server) -> list[tuple[str, list[object]]]:
    response = server.handle(Request("GET", EST + "csrattrs", [], b"", TlsFacts("TLSv1.3", "")))
    found, rest = decode(base64.b64decode(response.body), asn1Spec=rfc8951.CsrAttrs())
    assert not rest
    return [
        (str(one["oid"]), [])
        if one.getName() == "oid"
        else (
            str(one["attribute"]["attrType"]),
            [str(decode(bytes(value))[0]) for value in one["attribute"]["attrValues"]],
        )
        for one in found
    ]


EC_KEY, RSA_KEY, MAC = "1.2.840.10045.2.1", "1.2.840.113549.1.1.1", "1.3.6.1.1.1.1.22"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, []),
        ({"curves": ("secp384r1",)}, []),
        ({"min_rsa_bits": 3072}, []),
        ({"rsa_keys": False}, [(EC_KEY, [])]),
        ({"rsa_keys": False, "curves": ("secp384r1", "secp521r1")}, [(EC_KEY, [])]),
        ({"rsa_keys": False, "curves": ("secp384r1",)}, [(EC_KEY, ["1.3.132.0.34"])]),
        ({"rsa_keys": False, "curves": ("secp256r1", "ed25519")}, []),
        ({"rsa_keys": False, "curves": ("ed25519",)}, [("1.3.101.112", [])]),
        ({"curves": ()}, [(RSA_KEY, [])]),
        ({"curves": (), "min_rsa_bits": 3072}, [(RSA_KEY, ["3072"])]),
    ],
)
def test_csrattrs_lists_the_key_the_rules_insist_on_est_173(server, policy, expected):
    """RFC 7030 section 4.5.2: key types a CA insists on are listed; where there is a choice, nothing says so."""
    for field, value in policy.items():
        setattr(server.policy, field, value)
    assert listed(server) == [(MAC, []), *expected]


def test_what_csrattrs_says_of_keys_by_hand_is_left_alone_est_173(server):
    server.policy.rsa_keys = False
    server.policy.csrattrs = [bytes.fromhex("301506072a8648ce3d0201310a06082a8648ce3d030107")]
    assert listed(server) == [(EC_KEY, ["1.2.840.10045.3.1.7"])]
    server.policy.csrattrs_der = b"\x30\x00"
    assert listed(server) == []
