"""Certificates out of certs-only messages."""

from __future__ import annotations

import base64
import random
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from device_sdk.errors import WireError
from device_sdk.wire import der
from device_sdk.wire.certs_only import MAX_CERTIFICATES, parse_certs_only, read_certs_only
from device_sdk.wire.names import parse_dn
from device_sdk.wire.transfer import LABELS_CERTS_ONLY, decode_body
from tests.processor import require_at_most
from tests.wire.judges import VECTORS, certificates_by_pyasn1, damaged, only_wire_errors, openssl

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def certificate(name: str, key: ec.EllipticCurvePrivateKey | ed448.Ed448PrivateKey | None = None) -> x509.Certificate:
    key = key or ec.generate_private_key(ec.SECP256R1())
    algorithm = hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None
    subject = parse_dn(f"CN={name}")
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(DAY)
    return builder.not_valid_after(DAY + timedelta(days=9)).sign(key, algorithm)


@pytest.fixture(scope="module")
def three() -> tuple[x509.Certificate, ...]:
    return tuple(certificate(name) for name in ("root", "sub", "leaf"))


def encoded(*certificates: x509.Certificate) -> list[bytes]:
    return [item.public_bytes(Encoding.DER) for item in certificates]


def message(
    certificates: bytes | None,
    *,
    version: int = 1,
    digests: bytes = b"",
    content_type: str = DATA,
    content: bytes | None = None,
    tail: bytes = b"",
    signers: bytes = b"",
) -> bytes:
    """A SignedData put together by hand."""
    inner = der.oid(content_type) + (der.tlv(0xA0, content) if content is not None else b"")
    body = der.tlv(0x02, bytes([version])) + der.tlv(0x31, digests) + der.sequence(inner)
    body += (der.tlv(0xA0, certificates) if certificates is not None else b"") + tail + der.tlv(0x31, signers)
    return der.sequence(der.oid(SIGNED_DATA), der.tlv(0xA0, der.sequence(body)))


EXPECTED = {
    "draft-04/a1-cacerts.p7.pem": [("CN=estExampleCA", 0xE8F1319717844E70, "2012-07-04 18:39:27")],
    "draft-04/a2-simpleenroll-cert-auth-response.p7.pem": [
        ("CN=req by client in demo step 6,serialNumber=PID:Widget SN:6", 6, "2012-07-04 18:39:37")
    ],
    "draft-04/a3-simpleenroll-userpass-response.p7.pem": [
        ("CN=req by client in demo step 2,serialNumber=PID:Widget SN:2", 2, "2012-07-04 18:39:34")
    ],
    "draft-04/a5-serverkeygen-response-cert.p7.pem": [
        ("CN=serverside key generated response", 5, "2012-07-04 18:39:36")
    ],
    "rfc7030/a1-cacerts.p7.b64": [
        ("CN=estExampleCA OwO", 0x9A58DE75193B7A9C, "2013-05-09 03:53:31"),
        ("CN=estExampleCA NwO", 1, "2013-05-09 03:53:32"),
        ("CN=estExampleCA OwN", 2, "2013-05-09 03:53:32"),
        ("CN=estExampleCA NwN", 0xE9AE9DC39A33B211, "2013-05-09 03:53:32"),
    ],
    "rfc7030/a3-simpleenroll-response.p7.b64": [("CN=demostep4 1368141352", 0x15, "2013-05-09 23:15:53")],
    "rfc7030/a4-serverkeygen-response-cert.p7.b64": [
        ("CN=serverside key generated response", 0x16, "2013-05-09 23:25:56")
    ],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_examples_of_the_documents(name: str) -> None:
    """Appendix A of RFC 7030 and of draft-ietf-pkix-est-04: subjects, serial numbers, start of validity."""
    body = (VECTORS / name).read_bytes()
    found = read_certs_only(body)
    values = [
        (
            ",".join(
                f"{'CN' if a.oid == x509.NameOID.COMMON_NAME else 'serialNumber'}={a.value}" for a in item.subject
            ),
            item.serial_number,
            item.not_valid_before_utc.strftime("%F %T"),
        )
        for item in found
    ]
    assert values == EXPECTED[name]
    assert all(item.not_valid_after_utc - item.not_valid_before_utc == timedelta(days=365) for item in found)
    assert certificates_by_pyasn1(decode_body(body, labels=LABELS_CERTS_ONLY)) == encoded(*found)


def test_every_certs_only_example_is_covered() -> None:
    files = {f"{path.parent.name}/{path.name}" for path in VECTORS.glob("*/*.p7.*")}
    assert {name.removesuffix(".b64").removesuffix(".pem") for name in files} == {
        name.removesuffix(".b64").removesuffix(".pem") for name in EXPECTED
    }


def test_any_order_without_warnings(three: tuple[x509.Certificate, ...]) -> None:
    """EST-44: DER's order of the SET is not assumed; the order of the message is kept."""
    for chosen in (three, three[::-1], (three[1], three[0], three[2])):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert parse_certs_only(message(b"".join(encoded(*chosen)))) == chosen


def test_messages_of_openssl_and_cryptography(three: tuple[x509.Certificate, ...], tmp_path: Path) -> None:
    """Two other writers: `openssl crl2pkcs7 -nocrl` and cryptography."""
    bundle = tmp_path / "all.pem"
    bundle.write_bytes(b"".join(item.public_bytes(Encoding.PEM) for item in three))
    made = openssl("crl2pkcs7", "-nocrl", "-certfile", str(bundle), data=b"").encode()
    assert set(read_certs_only(made)) == set(three)
    assert set(parse_certs_only(pkcs7.serialize_certificates(list(three), Encoding.DER))) == set(three)


def test_duplicates_are_removed(three: tuple[x509.Certificate, ...]) -> None:
    assert parse_certs_only(message(b"".join(encoded(*three, *three)))) == three


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_forms_of_real_servers(three: tuple[x509.Certificate, ...], version: int) -> None:
    """EST-47: version 1 to 5, digestAlgorithms filled, signerInfos, empty or filled crls, empty eContent."""
    certificates = b"".join(encoded(*three))
    sha256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))
    forms = {
        "empty crls": message(certificates, version=version, tail=b"\xa1\x00"),
        "crls": message(certificates, version=version, tail=der.tlv(0xA1, der.sequence())),
        "digests": message(certificates, version=version, digests=sha256),
        "signers": message(certificates, version=version, signers=der.sequence(b"\x02\x01\x01")),
        "empty content": message(certificates, version=version, content=b"\x04\x00"),
    }
    for name, form in forms.items():
        assert parse_certs_only(form) == three, name


def test_other_kinds_of_certificates_are_passed_over(three: tuple[x509.Certificate, ...]) -> None:
    """EST-44: attribute certificates [2] and other formats [3] may be in the set."""
    others = der.tlv(0xA2, der.sequence()) + der.tlv(0xA3, der.oid("1.2.3.4") + b"\x05\x00")
    assert parse_certs_only(message(others + b"".join(encoded(*three)))) == three


def test_a_bag_without_certificates_is_empty() -> None:
    assert parse_certs_only(message(None)) == ()
    assert parse_certs_only(message(b"")) == ()


def indefinite(tag: int, contents: bytes) -> bytes:
    return bytes([tag, 0x80]) + contents + b"\0\0"


def test_ber_with_indefinite_lengths(three: tuple[x509.Certificate, ...]) -> None:
    """EST-40, EST-47: every wrapper of indefinite length, as Bouncy Castle streams; judged by openssl."""
    body = b"\x02\x01\x01\x31\x00" + indefinite(0x30, der.oid(DATA))
    body += indefinite(0xA0, b"".join(encoded(*three))) + b"\x31\x00"
    whole = indefinite(0x30, der.oid(SIGNED_DATA) + indefinite(0xA0, indefinite(0x30, body)))
    assert parse_certs_only(whole) == three
    assert read_certs_only(base64.b64encode(whole)) == three
    assert openssl("pkcs7", "-inform", "DER", "-print_certs", data=whole).count("BEGIN CERTIFICATE") == 3


def test_a_certificate_of_indefinite_length_itself(three: tuple[x509.Certificate, ...]) -> None:
    """EST-47: "certificates wrapped in indefinite length": read as the DER that was signed."""
    item = encoded(three[0])[0]
    inside = cms.Certificate.load(item)
    loose = indefinite(
        0x30, b"".join(inside[field].dump() for field in ("tbs_certificate", "signature_algorithm", "signature_value"))
    )
    assert parse_certs_only(message(loose)) == (three[0],)


def test_pem_certificates_instead_of_a_message(three: tuple[x509.Certificate, ...]) -> None:
    """Section 1: PEM with the label CERTIFICATE, one or more, with `openssl x509 -text` words in between."""
    pem = b"subject=CN = root\n".join(item.public_bytes(Encoding.PEM) for item in three)
    assert read_certs_only(pem) == three
    mislabelled = b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"
    assert read_certs_only(mislabelled % base64.b64encode(message(b"".join(encoded(*three))))) == three


def test_unknown_key_algorithms_are_left_out(three: tuple[x509.Certificate, ...]) -> None:
    """EST-44: an extra certificate of an algorithm nobody here knows does not spoil the others."""
    odd = encoded(certificate("odd", ed448.Ed448PrivateKey.generate()))[0]
    # id-Ed448 (1.3.101.113) becomes 1.3.101.13, which is nothing.
    odd = odd.replace(bytes.fromhex("06032b6571"), bytes.fromhex("06032b650d"))
    assert parse_certs_only(message(b"".join([*encoded(*three), odd]))) == three


def test_certificates_with_unreadable_names_are_refused(three: tuple[x509.Certificate, ...]) -> None:
    """An x400Address in a SAN is legal (RFC 5280 section 4.2.1.6), and nothing cryptography could ever show."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder().subject_name(parse_dn("CN=x")).issuer_name(parse_dn("CN=x"))
    builder = builder.public_key(key.public_key()).serial_number(1).not_valid_before(DAY).not_valid_after(DAY)
    san = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, der.sequence(der.tlv(0xA3, der.sequence())))
    odd = builder.add_extension(san, critical=False).sign(key, hashes.SHA256())
    with pytest.raises(WireError, match="certificate 2 of the message cannot be read"):
        parse_certs_only(message(encoded(three[0])[0] + odd.public_bytes(Encoding.DER)))


def test_what_is_not_certs_only(three: tuple[x509.Certificate, ...]) -> None:
    """A CMC response, a signed message, an EnvelopedData and a version of the future are named in the error."""
    certificates = b"".join(encoded(*three))
    with pytest.raises(WireError, match=r"1\.3\.6\.1\.5\.5\.7\.12\.3"):
        parse_certs_only(message(certificates, content_type="1.3.6.1.5.5.7.12.3", content=b"\x04\x00"))
    with pytest.raises(WireError, match="5 bytes of content"):
        parse_certs_only(message(certificates, content=b"\x04\x05hello"))
    with pytest.raises(WireError, match="enveloped_data"):
        parse_certs_only(der.sequence(der.oid("1.2.840.113549.1.7.3"), der.tlv(0xA0, der.sequence())))
    with pytest.raises(WireError):
        parse_certs_only(message(certificates, version=6))
    with pytest.raises(WireError):
        parse_certs_only(encoded(three[0])[0])
    with pytest.raises(WireError, match="certificate 2"):
        parse_certs_only(message(encoded(three[0])[0] + der.sequence(b"\x02\x01\x01")))


def test_the_number_of_certificates_is_bounded() -> None:
    many = message(der.sequence() * (MAX_CERTIFICATES + 1))
    with pytest.raises(WireError, match="more than 100"):
        parse_certs_only(many)


def test_damage_gives_wire_errors_only(three: tuple[x509.Certificate, ...]) -> None:
    sha1 = decode_body((VECTORS / "rfc7030/a3-simpleenroll-response.p7.b64").read_bytes())
    for good in (message(b"".join(encoded(*three[:2]))), sha1):
        for data in damaged(good, flips=1500):
            only_wire_errors(parse_certs_only, data)


@pytest.mark.slow
def test_what_was_read_can_be_used_without_surprises() -> None:
    """Certificates out of a damaged message raise nothing later either, when the protocol looks at them."""

    good = decode_body((VECTORS / "rfc7030/a1-cacerts.p7.b64").read_bytes())

    def look(data: bytes) -> None:
        for item in parse_certs_only(data):
            _ = (item.subject.rfc4514_string(), item.issuer, list(item.extensions), item.public_key())
            _ = (item.not_valid_before_utc, item.not_valid_after_utc, item.serial_number, hash(item))

    for data in damaged(good, flips=6000):
        only_wire_errors(look, data)


def test_noise_is_refused_quickly() -> None:
    chance = random.Random(11)  # noqa: S311  # a fixed seed is the point
    noise = (
        message(chance.randbytes(700_000)),
        message(b"\x30\x00" * 300_000),
        message(b"\x30\x80" * 60 + b"\0\0" * 60),
        message(None, digests=b"\x30\x00" * 300_000, signers=b"\x05\x00" * 300_000),
        b"\x30\x83\x07\xff\xfb" + b"\x30\x80" * 262_141 + b"0",
    )

    def read() -> None:
        for data in noise:
            only_wire_errors(parse_certs_only, data)

    require_at_most(3, read)
