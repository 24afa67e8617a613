"""Fingerprints: what people paste, and what it matches (EST-71, EST-76)."""

from __future__ import annotations

import hashlib
import inspect

import pytest
from cryptography import x509

from device_sdk.errors import ConfigurationError
from device_sdk.model.trust import Pin
from device_sdk.wire import fingerprint
from device_sdk.wire.certs_only import read_certs_only
from device_sdk.wire.fingerprint import matches, parse_pin
from tests.wire.judges import VECTORS, openssl

CA, OTHER = read_certs_only((VECTORS / "rfc7030/a1-cacerts.p7.b64").read_bytes())[:2]
DER = CA.public_bytes(fingerprint.Encoding.DER)
SHA256 = hashlib.sha256(DER).hexdigest()
SHA512 = hashlib.sha512(DER).hexdigest()


def pairs(digits: str, separator: str) -> str:
    return separator.join(digits[i : i + 2] for i in range(0, len(digits), 2))


@pytest.mark.parametrize(
    "text",
    [
        f"sha256:{SHA256}",
        f"SHA-256:{SHA256.upper()}",
        f"sha256: {pairs(SHA256, ':').upper()}",
        f"sha256={pairs(SHA256, ' ')}",
        SHA256,
        pairs(SHA256, ":"),
        pairs(SHA256, " ").upper() + "\n",
        f"sha512:{SHA512}",
        SHA512,
        pairs(SHA512, ":"),
    ],
)
def test_every_form_people_paste(text: str) -> None:
    """EST-76: hex with or without colons or spaces, with or without a prefix; 64 or 128 digits."""
    pin = parse_pin(text)
    assert pin.digest in {bytes.fromhex(SHA256), bytes.fromhex(SHA512)}
    assert matches(pin, CA)
    assert not matches(pin, OTHER)
    assert parse_pin(str(pin)) == pin


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_openssl_fingerprint_line_as_it_is(algorithm: str) -> None:
    line = openssl("x509", "-inform", "DER", "-noout", "-fingerprint", f"-{algorithm}", data=DER)
    assert parse_pin(line).algorithm == algorithm
    assert matches(parse_pin(line), CA)


def test_a_pin_of_the_public_key_matches_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    """SHA-256 of the SubjectPublicKeyInfo, made by openssl."""
    pem = openssl("x509", "-inform", "DER", "-noout", "-pubkey", data=DER).encode()
    spki = tmp_path_factory.mktemp("pin") / "spki.der"
    openssl("pkey", "-pubin", "-outform", "DER", "-out", str(spki), data=pem)
    pin = parse_pin("sha256:" + hashlib.sha256(spki.read_bytes()).hexdigest())
    assert matches(pin, CA)
    assert not matches(pin, OTHER)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("sha1:" + "ab" * 20, "sha1 fingerprints can be forged"),
        ("ab" * 20, "sha1 fingerprints can be forged"),
        ("SHA1 Fingerprint=" + pairs("ab" * 20, ":"), "sha1 fingerprints can be forged"),
        ("md5:" + "ab" * 16, "md5 fingerprints can be forged"),
        (pairs("ab" * 16, ":"), "md5 fingerprints can be forged"),
        ("sha384:" + "ab" * 48, "give a sha256 or sha512 one"),
        ("sha256:" + "ab" * 31, "62 hex digits, sha256 has 64"),
        ("sha256:" + "ab" * 64, "128 hex digits, sha256 has 64"),
        ("sha512:" + "ab" * 32, "64 hex digits, sha512 has 128"),
        ("ab" * 33, "66 hex digits"),
        ("sha256:", "not a fingerprint"),
        ("sha256:xyz", "not a fingerprint"),
        ("", "not a fingerprint"),
        ("sha256:" + "a" * 63, "63 hex digits"),
        ("sha256//" + "ab" * 32, "not a fingerprint"),
    ],
)
def test_forms_that_are_refused(text: str, word: str) -> None:
    """EST-76: SHA-1 and MD5 are named, other lengths counted."""
    with pytest.raises(ConfigurationError, match=word):
        parse_pin(text)


def test_one_bit_makes_the_difference() -> None:
    digest = bytearray.fromhex(SHA256)
    digest[31] ^= 1
    assert not matches(Pin("sha256", bytes(digest)), CA)
    assert not matches(Pin("sha512", bytes.fromhex(SHA256)), CA)


def test_comparison_is_constant_time() -> None:
    """EST-76: hmac.compare_digest, for the certificate and for its key, both always."""
    source = inspect.getsource(matches)
    assert "compare_digest" in source
    assert "==" not in source
    assert isinstance(CA, x509.Certificate)
