"""Names that are the same and written differently (RFC 5280 section 7.1), and the signatures between them."""

from __future__ import annotations

import pytest
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from device_sdk.errors import VerificationError
from device_sdk.wire.path import find_path, is_self_issued
from device_sdk.wire.same_name import same_name
from tests.est.pki import CA_USAGE, DAY, NOW, Ca, make, name, new_key

SHOUTED = name("EST  ROOT ")


def printable(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, _ASN1Type.PrintableString)])


def long(letter: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, letter * 60)] * 60)


def signed(key, *, algorithm=None, rsa_padding=None) -> tuple[x509.Certificate, x509.Certificate]:
    """A root called "EST root", and a certificate by its key that calls it otherwise."""
    root = (
        x509.CertificateBuilder(name("EST root"), name("EST root"), key.public_key(), 1, NOW - DAY, NOW + DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(CA_USAGE, critical=True)
    )
    leaf = x509.CertificateBuilder(SHOUTED, name("leaf"), new_key().public_key(), 2, NOW - DAY, NOW + DAY)
    options = {"rsa_padding": rsa_padding} if rsa_padding else {}
    return root.sign(key, algorithm, **options), leaf.sign(key, algorithm, **options)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (name("EST root"), SHOUTED, True),
        (name("EST root"), printable("EST root"), True),
        (name("ESTroot"), name("EST root"), False),
        (name("EST root"), x509.Name([*name("EST root"), *name("EST root")]), False),
        (long("x"), long("X"), False),  # longer than anybody's: octet by octet
        (x509.Name([]), x509.Name([]), True),
    ],
)
def test_rfc_5280_section_7_1(one, other, same):
    assert same_name(one, other) is same_name(other, one) is same


def test_rfc_5280_section_6_1_self_issued_by_the_same_name():
    """A rollover certificate whose issuer is written differently counts against no path length."""
    root = Ca.root("EST root", path_length=0)
    key = new_key()
    rolled = make(SHOUTED, key.public_key(), name("EST root"), root.key, ca=True)
    leaf = make(name("leaf"), new_key().public_key(), SHOUTED, key)
    assert is_self_issued(rolled)
    assert len(find_path(leaf, intermediates=[rolled], anchors=[root.certificate], now=NOW)) == 3


PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)


@pytest.mark.parametrize(
    ("make_key", "options"),
    [
        (new_key, {"algorithm": hashes.SHA256()}),
        (lambda: rsa.generate_private_key(65537, 2048), {"algorithm": hashes.SHA256()}),
        (lambda: rsa.generate_private_key(65537, 2048), {"algorithm": hashes.SHA256(), "rsa_padding": PSS}),
        (ed25519.Ed25519PrivateKey.generate, {}),
        (ed448.Ed448PrivateKey.generate, {}),
    ],
    ids=["ec", "rsa", "rsa-pss", "ed25519", "ed448"],
)
def test_a_signature_counts_whatever_the_name_looks_like(make_key, options):
    root, leaf = signed(make_key(), **options)
    assert find_path(leaf, intermediates=[], anchors=[root], now=NOW)
    stranger, _ = signed(make_key(), **options)
    with pytest.raises(VerificationError, match="no path"):
        find_path(leaf, intermediates=[], anchors=[stranger], now=NOW)


def test_a_key_of_another_kind_signed_nothing():
    _, leaf = signed(new_key(), algorithm=hashes.SHA256())
    root, _ = signed(ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(VerificationError, match="no path"):
        find_path(leaf, intermediates=[], anchors=[root], now=NOW)


def test_hashes_that_can_be_forged():
    """As for names that are equal octet by octet, where cryptography refuses them."""
    key = rsa.generate_private_key(65537, 2048)
    root, leaf = signed(key, algorithm=hashes.SHA256())
    parsed = asn1.Certificate.load(leaf.public_bytes(Encoding.DER))
    for place in (parsed["tbs_certificate"]["signature"], parsed["signature_algorithm"]):
        place["algorithm"] = "sha1_rsa"
    tbs = parsed["tbs_certificate"].dump(force=True)
    parsed["signature_value"] = key.sign(tbs, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303  # what is not to be taken
    forged = x509.load_der_x509_certificate(parsed.dump(force=True))
    with pytest.raises(VerificationError, match="signed with sha1, which is not accepted"):
        find_path(forged, intermediates=[], anchors=[root], now=NOW)


def test_two_algorithms_in_one_certificate():
    """RFC 5280 section 4.1.1.2: the one outside has to be the signed one (rfc5280::mismatching-signature-algorithm)."""
    key = new_key()
    root, leaf = signed(key, algorithm=hashes.SHA256())
    parsed = asn1.Certificate.load(leaf.public_bytes(Encoding.DER))
    parsed["tbs_certificate"]["signature"]["algorithm"] = "sha384_ecdsa"
    tbs = parsed["tbs_certificate"].dump(force=True)

    parsed["signature_value"] = key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    mismatched = x509.load_der_x509_certificate(parsed.dump(force=True))
    with pytest.raises(VerificationError, match="no path"):
        find_path(mismatched, intermediates=[], anchors=[root], now=NOW)
