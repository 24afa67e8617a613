"""The CSR builder, judged by openssl and pyasn1-alt-modules."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.name import _ASN1Type
from pyasn1.codec.der import decoder
from pyasn1_alt_modules import rfc4108, rfc5280

from device_sdk.errors import ConfigurationError, CsrAttributesError, DeviceSdkError, LocalProtocolError
from device_sdk.model.csr import CsrSpec, DeviceAttributes, MacPlacement
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.wire import csrattrs_oids as oids
from device_sdk.wire import der
from device_sdk.wire.csr import build_csr
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.names import parse_dn, parse_san
from device_sdk.wire.transfer import LABELS_CSR, decode_body
from tests.wire.judges import VECTORS, csr_by_pyasn1, damaged, openssl

SAN, SDA, KU, EKU = "2.5.29.17", "2.5.29.9", "2.5.29.15", "2.5.29.37"
MAC_DER = b"\x16\x1100:00:92:90:ee:e2"
BINDING = "+rrCir/7+EYu50T4"
P256 = ec.generate_private_key(ec.SECP256R1())
ROUTER = CsrSpec(parse_dn("CN=router-1,O=Example"))


def judged(request: bytes) -> str:
    """What `openssl req -verify -text` says; fails unless the signature verifies."""
    text = openssl("req", "-inform", "DER", "-verify", "-text", "-noout", data=request)
    assert "verify OK" in text
    return text


def wishes_of(*entries: bytes | str) -> CsrAttributes:
    return CsrAttributes.from_bytes(
        der.sequence(*(der.oid(entry) if isinstance(entry, str) else entry for entry in entries))
    )


def example(name: str) -> CsrAttributes:
    return CsrAttributes.from_bytes(decode_body((VECTORS / f"{name}.b64").read_bytes()))


def extension_request(*entries: bytes) -> bytes:
    return der.attribute(oids.EXTENSION_REQUEST, der.sequence(*entries))


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: ec.generate_private_key(ec.SECP256R1()), "ecdsa-with-SHA256"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "ecdsa-with-SHA384"),
        (lambda: ec.generate_private_key(ec.SECP521R1()), "ecdsa-with-SHA512"),
        (lambda: rsa.generate_private_key(65537, 2048), "sha256WithRSAEncryption"),
        (lambda: rsa.generate_private_key(65537, 3072), "sha256WithRSAEncryption"),
    ],
)
def test_every_key_type_verifies(make: Callable[[], PrivateKey], algorithm: str) -> None:
    """EST-130, EST-134: openssl accepts the signature; the hash fits the curve."""
    key = make()
    request = build_csr(ROUTER, key)
    assert f"Signature Algorithm: {algorithm}" in judged(request)
    loaded = x509.load_der_x509_csr(request)
    assert loaded.is_signature_valid
    assert loaded.subject == ROUTER.subject
    assert loaded.public_key() == key.public_key()
    assert csr_by_pyasn1(request) == ({}, {})


def test_est_134_a_key_signs_whatever_usage_it_asks_for() -> None:
    """RFC 7030 section 4.2.1: a key certified for encipherment only still signs its own request."""
    usage = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
    asked = x509.Extension(x509.KeyUsage.oid, True, usage)
    request = build_csr(replace(ROUTER, extensions=(asked,)), rsa.generate_private_key(65537, 2048))
    assert "Key Encipherment" in judged(request)
    loaded = x509.load_der_x509_csr(request)
    assert loaded.is_signature_valid
    assert loaded.extensions.get_extension_for_class(x509.KeyUsage).value == usage


def test_everything_the_caller_gave_is_there() -> None:
    """EST-32, EST-33, EST-177: serialNumber, SAN of every type, hardwareModuleName, macAddress, challengePassword."""
    san = ("DNS:a.example", "IP:192.0.2.1", "IP:2001:db8::1", "URI:urn:dev:1", "email:a@b.example", "dirName:CN=x")
    device = DeviceAttributes(
        mac_address="00-00-92-90-EE-E2",
        serial_number="PID:Widget SN:6",
        hardware_type="1.3.6.1.4.1.32473.1",
        hardware_serial=b"\x00\xff\x01",
        dns_names=("dev.example", "a.example"),
        uris=("urn:dev:2",),
    )
    usage = x509.Extension(x509.ExtendedKeyUsage.oid, False, x509.ExtendedKeyUsage([x509.OID_CLIENT_AUTH]))
    spec = CsrSpec(ROUTER.subject, tuple(map(parse_san, san)), device, extensions=(usage,))
    request = build_csr(spec, P256, challenge_password=BINDING)
    text = judged(request)
    assert re.search(r"Subject: O ?= ?Example, CN ?= ?router-1, serialNumber ?= ?PID:Widget SN:6\n", text)
    assert re.search(r"challengePassword +:" + re.escape(BINDING), text)
    assert "TLS Web Client Authentication" in text
    for word in ("DNS:a.example", "IP Address:192.0.2.1", "IP Address:2001:DB8:0:0:0:0:0:1", "URI:urn:dev:1"):
        assert word in text
    for word in ("email:a@b.example", "DirName:/CN=x", "DNS:dev.example", "URI:urn:dev:2"):
        assert word in text
    assert text.count("DNS:a.example") == 1

    attributes, extensions = csr_by_pyasn1(request)
    assert set(attributes) == {oids.CHALLENGE_PASSWORD, oids.EXTENSION_REQUEST}
    assert attributes[oids.CHALLENGE_PASSWORD] == b"\x13\x10" + BINDING.encode()
    assert set(extensions) == {SAN, SDA, EKU}
    assert not any(critical for critical, _ in extensions.values())
    names, _ = decoder.decode(extensions[SAN][1], asn1Spec=rfc5280.SubjectAltName())
    (other,) = [name["otherName"] for name in names if name.getName() == "otherName"]
    assert str(other["type-id"]) == "1.3.6.1.5.5.7.8.4"
    module, _ = decoder.decode(bytes(other["value"]), asn1Spec=rfc4108.HardwareModuleName())
    assert (str(module["hwType"]), bytes(module["hwSerialNum"])) == ("1.3.6.1.4.1.32473.1", b"\x00\xff\x01")
    directory, _ = decoder.decode(extensions[SDA][1], asn1Spec=rfc5280.SubjectDirectoryAttributes())
    assert [(str(item["type"]), [bytes(value) for value in item["values"]]) for item in directory] == [
        (oids.MAC_ADDRESS, [MAC_DER])
    ]


@pytest.mark.parametrize("placement", ["extension", "attribute"])
def test_mac_address_in_both_places(placement: MacPlacement) -> None:
    """EST-177: subjectDirectoryAttributes by default, a PKCS#10 attribute on request; never both."""
    spec = CsrSpec(ROUTER.subject, device=DeviceAttributes("000092.90EEE2".replace(".", "")), mac_placement=placement)
    request = build_csr(spec, P256)
    text = judged(request)
    assert text.count("00:00:92:90:ee:e2") == 1
    attributes, extensions = csr_by_pyasn1(request)
    if placement == "attribute":
        assert attributes == {oids.MAC_ADDRESS: MAC_DER}
    else:
        assert extensions[SDA][1].endswith(MAC_DER)
        assert set(attributes) == {oids.EXTENSION_REQUEST}


def test_mac_address_goes_in_without_being_asked_for_and_never_by_itself() -> None:
    assert b"00:00:92:90:ee:e2" in build_csr(
        CsrSpec(ROUTER.subject, device=DeviceAttributes("00:00:92:90:ee:e2")), P256
    )
    asked = wishes_of(oids.MAC_ADDRESS)
    assert asked.wants_mac
    assert csr_by_pyasn1(build_csr(ROUTER, P256, wishes=asked)) == ({}, {})


def test_empty_subject_makes_the_san_critical() -> None:
    """EST-33, EST-141, RFC 5280 section 4.2.1.6."""
    request = build_csr(CsrSpec(x509.Name([]), (parse_san("DNS:a.example"),)), P256)
    assert "X509v3 Subject Alternative Name: critical" in judged(request)
    assert "Subject: \n" in judged(build_csr(CsrSpec(x509.Name([])), P256))


def test_the_subject_of_an_older_certificate_is_kept_byte_for_byte() -> None:
    """EST-150: string types that nobody here would choose; renewal must not change them."""
    odd = [
        x509.NameAttribute(x509.NameOID.COMMON_NAME, "a", _ASN1Type.PrintableString),
        x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "A_1", _ASN1Type.UTF8String),
    ]
    subject = x509.Name(odd)
    request = build_csr(CsrSpec(subject), P256)
    assert x509.load_der_x509_csr(request).subject.public_bytes() == subject.public_bytes()
    judged(request)


def test_serial_number_is_not_doubled() -> None:
    """EST-32."""
    spec = CsrSpec(parse_dn("CN=a,serialNumber=mine"), device=DeviceAttributes(serial_number="theirs"))
    assert "theirs" not in judged(build_csr(spec, P256))
    alone = CsrSpec(x509.Name([]), device=DeviceAttributes(serial_number="42"))
    assert re.search(r"Subject: serialNumber ?= ?42\n", judged(build_csr(alone, P256)))


def test_challenge_strings() -> None:
    """EST-93, EST-108: PrintableString where possible, else UTF8String; at most 255 characters, never empty."""
    attributes, _ = csr_by_pyasn1(build_csr(ROUTER, P256, challenge_password="aZ09+/="))
    assert attributes[oids.CHALLENGE_PASSWORD] == b"\x13\x07aZ09+/="
    attributes, _ = csr_by_pyasn1(build_csr(ROUTER, P256, challenge_password="ü*"))
    assert attributes[oids.CHALLENGE_PASSWORD] == b"\x0c\x03" + "ü*".encode()
    judged(build_csr(ROUTER, P256, challenge_password="a" * 255))
    with pytest.raises(ConfigurationError, match="255"):
        build_csr(ROUTER, P256, challenge_password="a" * 256)
    with pytest.raises(LocalProtocolError, match="empty"):
        build_csr(ROUTER, P256, challenge_password="")


def test_the_samples_of_rfc_7030_have_the_same_shape() -> None:
    """A.3's request: a challengePassword of the same type and length as ours."""
    sample = decode_body((VECTORS / "rfc7030/a3-simpleenroll.csr.b64").read_bytes())
    theirs, _ = csr_by_pyasn1(sample)
    ours, _ = csr_by_pyasn1(build_csr(ROUTER, P256, challenge_password=BINDING))
    assert ours[oids.CHALLENGE_PASSWORD] == theirs[oids.CHALLENGE_PASSWORD]


@pytest.mark.parametrize(
    ("name", "subject", "challenge"),
    [
        ("draft-04/a2-simpleenroll-cert-auth-csr.csr.pem", "CN = req by client in demo step 6, serialNumber = PID:Widget SN:6", None),
        ("draft-04/a3-simpleenroll-userpass-csr.csr.pem", "CN = req by client in demo step 2, serialNumber = PID:Widget SN:2", None),
        ("draft-04/a5-serverkeygen-csr.csr.pem", "CN = serverKeyGen req by client in demo step 5, serialNumber = PID:Widget SN:5", None),
        ("rfc7030/a3-simpleenroll.csr.b64", "CN = demostep4 1368141352", "+rrCir/7+EYu50T4"),
        ("rfc7030/a4-serverkeygen.csr.b64", "CN = serverKeyGen req by client in demo step 12 1368141955, serialNumber = PID:Widget SN:10", "dFsAXmJnjokBtDvr"),
    ],
)  # fmt: skip
def test_requests_of_the_documents(name: str, subject: str, challenge: str | None) -> None:
    """Section 19: the printed requests, through the tolerant reader, verify and hold what the documents say."""
    request = decode_body((VECTORS / name).read_bytes(), labels=LABELS_CSR)
    assert f"Subject: {subject}\n" in judged(request)
    attributes, _ = csr_by_pyasn1(request)
    value = attributes.get(oids.CHALLENGE_PASSWORD)
    assert (value[2:].decode() if value else None) == challenge


def test_est_identity_linking_is_preferred() -> None:
    """EST-106: when it is listed it carries the binding, and challengePassword is left out."""
    wishes = wishes_of(oids.CHALLENGE_PASSWORD, oids.EST_IDENTITY_LINKING)
    attributes, _ = csr_by_pyasn1(build_csr(ROUTER, P256, wishes=wishes, challenge_password=BINDING))
    assert set(attributes) == {oids.EST_IDENTITY_LINKING}


def test_other_challenges_only_when_listed() -> None:
    """EST-105: every listed one for which there is a value; an unlisted one is not sent."""
    spec = CsrSpec(ROUTER.subject, otp_challenge=Secret("123456"), revocation_challenge=Secret("bye"))
    attributes, _ = csr_by_pyasn1(build_csr(spec, P256, wishes=wishes_of(oids.OTP_CHALLENGE)))
    assert attributes == {oids.OTP_CHALLENGE: b"\x13\x06123456"}
    assert csr_by_pyasn1(build_csr(spec, P256)) == ({}, {})
    assert "123456" not in repr(spec)


def test_a_secret_that_is_no_text_does_not_show() -> None:
    spec = CsrSpec(ROUTER.subject, otp_challenge=Secret(b"\xffgeheim"))
    with pytest.raises(ConfigurationError) as caught:
        build_csr(spec, P256, wishes=wishes_of(oids.OTP_CHALLENGE))
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_missing_binding_fails_early() -> None:
    """EST-92: the server requires it, the connection gives none."""
    wishes = wishes_of(oids.CHALLENGE_PASSWORD)
    with pytest.raises(LocalProtocolError, match="bound to the TLS connection"):
        build_csr(ROUTER, P256, wishes=wishes)
    judged(build_csr(ROUTER, P256, wishes=wishes.without_challenges()))


def test_further_attributes() -> None:
    friendly = ("1.2.840.113549.1.9.20", b"\x0c\x04gate")
    request = build_csr(CsrSpec(ROUTER.subject, attributes=(friendly,)), P256)
    assert "friendlyName" in judged(request)
    assert csr_by_pyasn1(request)[0] == dict([friendly])


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(CsrSpec(ROUTER.subject, device=DeviceAttributes(mac_address="01:00:5e:00:00:01")), id="multicast"),
        pytest.param(CsrSpec(ROUTER.subject, device=DeviceAttributes(serial_number="a_b")), id="not printable"),
        pytest.param(CsrSpec(ROUTER.subject, device=DeviceAttributes(serial_number="")), id="empty serial"),
        pytest.param(CsrSpec(ROUTER.subject, device=DeviceAttributes(serial_number="1" * 65)), id="long serial"),
        pytest.param(CsrSpec(ROUTER.subject, device=DeviceAttributes(hardware_type="1.2.3")), id="type without serial"),
        pytest.param(CsrSpec(ROUTER.subject, device=DeviceAttributes(hardware_serial=b"1")), id="serial without type"),
        pytest.param(
            CsrSpec(ROUTER.subject, device=DeviceAttributes(hardware_type="x", hardware_serial=b"1")), id="no OID"
        ),
        pytest.param(CsrSpec(ROUTER.subject, device=DeviceAttributes(dns_names=("a b",))), id="no DNS name"),
        pytest.param(CsrSpec(ROUTER.subject, device=DeviceAttributes(uris=("a b",))), id="no URI"),
        pytest.param(CsrSpec(ROUTER.subject, attributes=(("1.2.3", b"\x05\x00"),) * 2), id="attribute twice"),
        pytest.param(CsrSpec(ROUTER.subject, attributes=((oids.CHALLENGE_PASSWORD, b"\x05\x00"),)), id="binding twice"),
        pytest.param(
            CsrSpec(
                ROUTER.subject,
                extensions=(x509.Extension(x509.SubjectAlternativeName.oid, False, x509.SubjectAlternativeName([])),),
            ),
            id="SAN as an extension",
        ),
    ],
)
def test_values_that_do_not_fit_are_refused(spec: CsrSpec) -> None:
    with pytest.raises(ConfigurationError):
        build_csr(spec, P256, challenge_password=BINDING)


def test_a_request_that_nobody_could_read_is_not_given_out() -> None:
    """A name or extension made by hand that is not what its standard says."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "a_b")])
    usage = x509.UnrecognizedExtension(x509.ObjectIdentifier(KU), b"\x05\x00")
    for spec in (CsrSpec(name), CsrSpec(ROUTER.subject, extensions=(x509.Extension(usage.oid, False, usage),))):
        with pytest.raises(ConfigurationError, match="cannot be read back"):
            build_csr(spec, P256)


def test_bad_values_of_the_server_are_the_servers_fault() -> None:
    wishes = wishes_of(extension_request(der.extension(KU, b"\x05\x00", critical=True)))
    with pytest.raises(CsrAttributesError, match="unreadable"):
        build_csr(ROUTER, P256, wishes=wishes)


@pytest.mark.slow
def test_damaged_wishes_give_errors_of_the_sdk_only() -> None:
    """Whatever still reads of a damaged /csrattrs can be built with, or is refused by an error of the SDK."""
    spec = CsrSpec(ROUTER.subject, (parse_san("IP:192.0.2.7"),), DeviceAttributes("00:00:92:90:ee:e2"))
    for name in ("rfc9908/generated-s3.4-template", "rfc9908/s5.1-acp-san", "rfc7030/s4.5.2-csrattrs-example"):
        raw = decode_body((VECTORS / f"{name}.b64").read_bytes())
        for data in damaged(raw, flips=400):
            with contextlib.suppress(DeviceSdkError):
                build_csr(spec, P256, wishes=CsrAttributes.from_bytes(data), challenge_password=BINDING)


def test_short_rsa_keys_are_refused() -> None:
    """EST-143's floor holds for our own requests too."""
    with pytest.raises(ConfigurationError, match="1024 bits"):
        build_csr(ROUTER, rsa.generate_private_key(65537, 1024))  # noqa: S505  # weak on purpose


def test_der_length_forms() -> None:
    """Short, one-octet and two-octet lengths, judged by a large request that openssl reads."""
    names = tuple(x509.DNSName(f"host-{number}.example") for number in range(4000))
    assert judged(build_csr(CsrSpec(ROUTER.subject, names), P256)).count("DNS:host-") == 4000
