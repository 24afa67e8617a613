"""What comes back behaves like cryptography's own keys; openssl and cryptography judge."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.errors import KeyStoreError, MechanismUnsupportedError, NotExtractableError
from device_sdk.keystores.keys import EcDeviceKey, RsaDeviceKey
from device_sdk.keystores.registry import create_key, open_key
from tests.cms.handmade import rsa_block
from tests.keystores.pkcs11.faulty import FaultyModule
from tests.keystores.pkcs11.tools import openssl, write_public

HASHES = [hashes.SHA1(), hashes.SHA224(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]  # noqa: S303  # all there are
CURVES = ["ec-p256", "ec-p384", "ec-p521"]
MESSAGE = b"a message"


def by_name(algorithm: hashes.HashAlgorithm) -> str:
    return algorithm.name


def ec_key(token: SoftHsm, key_type: str = "ec-p256") -> EcDeviceKey:
    key = create_key(token.uri_of("ec"), key_type)
    assert isinstance(key, EcDeviceKey)
    return key


def rsa_key(uri: str, key_type: str = "rsa-2048") -> RsaDeviceKey:
    key = create_key(uri, key_type)
    assert isinstance(key, RsaDeviceKey)
    return key


@pytest.mark.parametrize("key_type", CURVES)
@pytest.mark.parametrize("algorithm", HASHES, ids=by_name)
def test_ecdsa_is_verified_by_openssl(
    token: SoftHsm, tmp_path: Path, key_type: str, algorithm: hashes.HashAlgorithm
) -> None:
    """ECDSA with every hash on every curve, hashed here or by the caller."""
    key = ec_key(token, key_type)
    public = write_public(key.public_key(), tmp_path / "public.pem")
    signature = tmp_path / "signature"
    signature.write_bytes(key.sign(MESSAGE, ec.ECDSA(algorithm)))
    openssl("dgst", f"-{algorithm.name}", "-verify", str(public), "-signature", str(signature), stdin=MESSAGE)
    hasher = hashes.Hash(algorithm)
    hasher.update(MESSAGE)
    signed = key.sign(hasher.finalize(), ec.ECDSA(Prehashed(algorithm)))
    key.public_key().verify(signed, MESSAGE, ec.ECDSA(algorithm))


@pytest.mark.parametrize(("key_type", "size"), [("ec-p256", 32), ("ec-p384", 48), ("ec-p521", 64)])
def test_long_digests_are_cut_for_tokens_that_refuse_them(faulty: FaultyModule, key_type: str, size: int) -> None:
    """FIPS 186-5 section 6.4.1: only the leftmost bits count; some tokens take no more."""
    key = create_key(faulty.uri_of("ec"), key_type)
    assert isinstance(key, EcDeviceKey)
    key.public_key().verify(key.sign(MESSAGE, ec.ECDSA(hashes.SHA512())), MESSAGE, ec.ECDSA(hashes.SHA512()))
    assert faulty.last_signed == size


@pytest.mark.slow
@pytest.mark.parametrize("key_type", CURVES)
def test_ecdh_equals_software(token: SoftHsm, key_type: str) -> None:
    """The shared secret is as long as the field, leading zeros included."""
    key = ec_key(token, key_type)
    zeros = 0
    for _ in range(300):
        peer = ec.generate_private_key(key.curve)
        shared = key.exchange(ec.ECDH(), peer.public_key())
        assert shared == peer.exchange(ec.ECDH(), key.public_key())
        zeros += shared[0] == 0
    assert zeros or key_type != "ec-p521"  # nine bits of the first byte's sixteen do not exist


def test_ecdh_with_another_curve_is_refused(token: SoftHsm) -> None:
    with pytest.raises(ValueError, match="secp384r1"):
        ec_key(token).exchange(ec.ECDH(), ec.generate_private_key(ec.SECP384R1()).public_key())


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", HASHES, ids=by_name)
def test_rsa_signatures_are_verified_by_openssl(
    token: SoftHsm, tmp_path: Path, algorithm: hashes.HashAlgorithm
) -> None:
    """PKCS#1 v1.5, and PSS with salts from none to the largest."""
    key = rsa_key(token.uri_of("rsa"))
    public = str(write_public(key.public_key(), tmp_path / "public.pem"))
    signature = tmp_path / "signature"
    signature.write_bytes(key.sign(MESSAGE, padding.PKCS1v15(), algorithm))
    openssl("dgst", f"-{algorithm.name}", "-verify", public, "-signature", str(signature), stdin=MESSAGE)
    for salt in (0, 1, padding.PSS.DIGEST_LENGTH, padding.PSS.MAX_LENGTH):
        scheme = padding.PSS(padding.MGF1(algorithm), salt)
        signature.write_bytes(key.sign(MESSAGE, scheme, algorithm))
        options = ("-sigopt", "rsa_padding_mode:pss", "-signature", str(signature))
        openssl("dgst", f"-{algorithm.name}", "-verify", public, *options, stdin=MESSAGE)
        key.public_key().verify(signature.read_bytes(), MESSAGE, scheme, algorithm)


@pytest.mark.slow
def test_pss_where_the_module_has_none(faulty: FaultyModule) -> None:
    """RSA-PSS in software over the bare operation."""
    key = rsa_key(faulty.uri_of("rsa"))
    faulty.lie("refuse_mechanism", 0xD + 1)
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    for _ in range(2):
        key.public_key().verify(key.sign(MESSAGE, scheme, hashes.SHA256()), MESSAGE, scheme, hashes.SHA256())


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", HASHES, ids=by_name)
def test_oaep_from_openssl_is_decrypted(token: SoftHsm, tmp_path: Path, algorithm: hashes.HashAlgorithm) -> None:
    """SoftHSM does OAEP with SHA-1 only; the others are unpadded here."""
    key = rsa_key(token.uri_of("rsa"))
    public = str(write_public(key.public_key(), tmp_path / "public.pem"))
    options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{algorithm.name}", f"rsa_mgf1_md:{algorithm.name}"]
    scheme = padding.OAEP(padding.MGF1(algorithm), algorithm, None)
    largest = 256 - 2 * algorithm.digest_size - 2
    for message in (b"", b"x", bytes(largest)):
        arguments = [part for option in options for part in ("-pkeyopt", option)]
        sealed = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", public, *arguments, stdin=message)
        assert key.decrypt(sealed, scheme) == message


@pytest.mark.slow
def test_oaep_with_two_different_hashes(token: SoftHsm) -> None:
    key = rsa_key(token.uri_of("rsa"))
    scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA512(), None)
    assert key.decrypt(key.public_key().encrypt(b"secret", scheme), scheme) == b"secret"


def test_oaep_where_the_token_does_neither(faulty: FaultyModule) -> None:
    key = rsa_key(faulty.uri_of("rsa"))
    scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    sealed = key.public_key().encrypt(b"secret", scheme)
    faulty.lie("refuse_mechanism", 0x3 + 1)
    with pytest.raises(MechanismUnsupportedError, match="OAEP with sha256/sha256") as caught:
        key.decrypt(sealed, scheme)
    assert caught.value.hint is not None
    assert "PKCS#1 v1.5" in caught.value.hint


@pytest.mark.slow
def test_every_bad_ciphertext_has_one_error(token: SoftHsm) -> None:
    """Bad padding is a ValueError with one text, whatever the padding and the damage; the key goes on working."""
    key = rsa_key(token.uri_of("rsa"))
    oaep1 = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303  # SoftHSM's own
    oaep256 = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    texts = set()
    for scheme in (padding.PKCS1v15(), oaep1, oaep256):
        good = key.public_key().encrypt(b"secret", scheme)
        # made of blocks: what a ciphertext decrypts to by chance is well padded once in 100,000 times
        blocks = (b"\0\1" + b"\xff" * 254, b"\0\2" + b"\x55" * 254, b"\0\2" + b"\x55" * 7 + b"\0" + b"\x55" * 246)
        made = [rsa_block(key.public_key(), block) for block in blocks]
        for bad in (bytes(256), bytes(255) + b"\1", *made, b"\xff" * 256):
            with pytest.raises(ValueError) as caught:  # noqa: PT011  # the text is what is compared
                key.decrypt(bad, scheme)
            texts.add(str(caught.value))
            assert caught.value.__cause__ is None
        assert key.decrypt(good, scheme) == b"secret"
    assert texts == {"Decryption failed"}


@pytest.mark.slow
def test_pkcs1_from_openssl_is_decrypted(token: SoftHsm, tmp_path: Path) -> None:
    key = rsa_key(token.uri_of("rsa"))
    public = str(write_public(key.public_key(), tmp_path / "public.pem"))
    for message in (b"", b"x", bytes(245)):
        sealed = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", public, stdin=message)
        assert key.decrypt(sealed, padding.PKCS1v15()) == message


@pytest.mark.parametrize("key_type", [*CURVES, "rsa-2048"])
def test_builders_take_the_key_unchanged(token: SoftHsm, tmp_path: Path, key_type: str) -> None:
    """CSR builder and PKCS#7 signer of cryptography; `openssl req -verify` accepts the CSR."""
    key = create_key(token.uri_of("device"), key_type)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    assert request.is_signature_valid
    openssl("req", "-verify", "-noout", stdin=request.public_bytes(serialization.Encoding.PEM))
    issuer = ec.generate_private_key(ec.SECP256R1())
    now = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
    begin, end = request_times()
    certificate = now.not_valid_before(begin).not_valid_after(end).sign(issuer, hashes.SHA256())
    signer = pkcs7.PKCS7SignatureBuilder().set_data(MESSAGE).add_signer(certificate, key, hashes.SHA256())
    signed = tmp_path / "signed.pem"
    signed.write_bytes(signer.sign(serialization.Encoding.PEM, [pkcs7.PKCS7Options.Binary]))
    assert openssl("cms", "-verify", "-noverify", "-inform", "PEM", "-in", str(signed)) == MESSAGE


def request_times() -> tuple[object, object]:
    from datetime import UTC, datetime

    return datetime(2026, 1, 1, tzinfo=UTC), datetime(2046, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("key_type", ["ec-p256", "rsa-2048"])
def test_the_private_key_cannot_be_had(token: SoftHsm, key_type: str) -> None:
    key = create_key(token.uri_of("device"), key_type)
    assert isinstance(key, EcDeviceKey | RsaDeviceKey)
    with pytest.raises(NotExtractableError):
        key.private_numbers()
    formats = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with pytest.raises(NotExtractableError):
        key.private_bytes(*formats)
    assert copy.copy(key) is key
    assert copy.deepcopy(key) is key


def test_unknown_hashes_are_refused_by_name(token: SoftHsm) -> None:
    key = rsa_key(token.uri_of("rsa"))
    with pytest.raises(MechanismUnsupportedError, match="sha3-256"):
        key.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA3_256())


def test_a_closed_key_says_so(token: SoftHsm) -> None:
    key = ec_key(token)
    key.close()
    key.close()
    with pytest.raises(KeyStoreError, match="closed"):
        key.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
    with open_key(key.info.uri) as again:
        assert isinstance(again, EcDeviceKey)
        again.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
