"""Every operation of cryptography's private-key interfaces, with software as the judge; bare RSA paddings (RFC 8017)."""

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.errors import KeyStoreError, MechanismUnsupportedError
from device_sdk.keystores import registry
from device_sdk.keystores.rsa_padding import oaep_decode, pkcs1_encode, pss_encode
from tests.cms.handmade import rsa_block

SHA1 = hashes.SHA1()  # noqa: S303  # asked for by old peers
HASHES = [SHA1, hashes.SHA224(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512(), hashes.SHA3_256()]


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "ec-p521"])
def test_ecdsa_and_ecdh(swtpm: Swtpm, tmp_path, key_type: str) -> None:
    """Any hash on any curve: what the TPM has no name for is cut or filled as FIPS 186-5 section 6.4.1 does."""
    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem", key_type)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    public = key.public_key()
    for algorithm in HASHES:
        public.verify(key.sign(b"message", ec.ECDSA(algorithm)), b"message", ec.ECDSA(algorithm))
        hasher = hashes.Hash(algorithm)
        hasher.update(b"message")
        signature = key.sign(hasher.finalize(), ec.ECDSA(Prehashed(algorithm)))
        public.verify(signature, b"message", ec.ECDSA(algorithm))
        with pytest.raises(InvalidSignature):
            public.verify(signature, b"another", ec.ECDSA(algorithm))
    with pytest.raises(ValueError, match="pre-hashed"):
        key.sign(b"short", ec.ECDSA(Prehashed(hashes.SHA256())))
    for _ in range(20):
        peer = ec.generate_private_key(key.curve)
        assert key.exchange(ec.ECDH(), peer.public_key()) == peer.exchange(ec.ECDH(), public)
    with pytest.raises(ValueError, match="peer key is on"):
        key.exchange(ec.ECDH(), ec.generate_private_key(ec.SECP256K1()).public_key())


@pytest.mark.slow
@pytest.mark.parametrize("key_type", ["rsa-2048", "rsa-3072"])
def test_rsa(swtpm: Swtpm, tmp_path, key_type: str) -> None:
    """PKCS#1 v1.5 and PSS with any hash, MGF1 hash and salt; v1.5 and OAEP decryption with any hash and MGF1 hash."""
    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem", key_type)
    assert isinstance(key, rsa.RSAPrivateKey)
    public = key.public_key()
    for algorithm in HASHES[:5]:
        public.verify(key.sign(b"message", padding.PKCS1v15(), algorithm), b"message", padding.PKCS1v15(), algorithm)
        for mgf in (algorithm, SHA1, hashes.SHA256()):
            for salt in (padding.PSS.DIGEST_LENGTH, padding.PSS.MAX_LENGTH, 0, 20):
                pss = padding.PSS(padding.MGF1(mgf), salt)
                public.verify(key.sign(b"message", pss, algorithm), b"message", pss, algorithm)
            oaep = padding.OAEP(padding.MGF1(mgf), algorithm, None)
            assert key.decrypt(public.encrypt(b"plaintext", oaep), oaep) == b"plaintext"
    assert key.decrypt(public.encrypt(b"plaintext", padding.PKCS1v15()), padding.PKCS1v15()) == b"plaintext"
    assert key.decrypt(public.encrypt(b"", padding.PKCS1v15()), padding.PKCS1v15()) == b""


@pytest.mark.slow
def test_bad_ciphertexts_are_one_value_error(swtpm: Swtpm, tmp_path) -> None:
    """libtpms answers TPM_RC_FAILURE to bad padding although it is healthy; all reasons have one text."""
    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem", "rsa-2048")
    modulus = key.public_key().public_numbers().n
    unended = rsa_block(key.public_key(), b"\0\2" + b"\x55" * 254)
    schemes = [
        padding.PKCS1v15(),
        padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None),
        padding.OAEP(padding.MGF1(SHA1), hashes.SHA256(), None),
    ]
    texts = set()
    for scheme in schemes:
        for block in (unended, bytes(256), (modulus - 1).to_bytes(256, "big"), b"\xff" * 256):
            with pytest.raises(ValueError, match="failed") as caught:
                key.decrypt(block, scheme)
            texts.add(str(caught.value))
    assert len(texts) == 1
    with pytest.raises(ValueError, match="ciphertext is 3 bytes"):
        key.decrypt(b"abc", padding.PKCS1v15())
    assert key.sign(b"still well", padding.PKCS1v15(), hashes.SHA256())


def test_csr_and_certificate_builders_take_the_key(swtpm: Swtpm, tmp_path, tools) -> None:
    """`openssl req -verify` accepts the CSR."""
    from cryptography.hazmat.primitives.serialization import Encoding

    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem", "ec-p384")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device")])
    csr = x509.CertificateSigningRequestBuilder(name).sign(key, hashes.SHA384())
    (tmp_path / "csr.pem").write_bytes(csr.public_bytes(Encoding.PEM))
    tools("openssl", "req", "-in", "csr.pem", "-noout", "-verify")


@pytest.mark.slow
def test_keys_the_tpm_cannot_make(swtpm: Swtpm, tmp_path) -> None:
    """The error names what this TPM can do; libtpms 0.9 has no RSA-4096."""
    with pytest.raises(MechanismUnsupportedError) as caught:
        registry.create_key(f"tpm2:file={tmp_path}/key.pem", "rsa-4096")
    assert caught.value.mechanism == "rsa-4096"
    assert "ec-p256" in str(caught.value)
    assert not (tmp_path / "key.pem").exists()


@pytest.mark.slow
def test_keys_made_for_one_purpose_only(swtpm: Swtpm, tools) -> None:
    """A foreign key with a fixed scheme or without an attribute does what it may and says what it may not."""
    tools("tpm2_createprimary", "-Q", "-C", "o", "-c", "p.ctx")
    for handle, algorithm, attributes in (
        ("0x81000031", "ecc256:ecdsa-sha256:null", "sign"),
        ("0x81000032", "rsa2048:rsapss-sha256:null", "sign"),
        ("0x81000033", "rsa2048:oaep-sha256:null", "decrypt"),
    ):
        tools("tpm2_create", "-Q", "-C", "p.ctx", "-G", algorithm, "-u", "k.pub", "-r", "k.priv",
              "-a", f"fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|{attributes}")  # fmt: skip
        tools("tpm2_flushcontext", "-t")
        tools("tpm2_load", "-Q", "-C", "p.ctx", "-u", "k.pub", "-r", "k.priv", "-c", "k.ctx")
        tools("tpm2_flushcontext", "-t")
        tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "k.ctx", handle)
        tools("tpm2_flushcontext", "-t")
    sha256 = hashes.SHA256()
    signing = registry.open_key("tpm2:handle=0x81000031")
    for algorithm in (sha256, hashes.SHA512()):
        signature = signing.sign(b"m", ec.ECDSA(algorithm))
        signing.public_key().verify(signature, b"m", ec.ECDSA(algorithm))
    with pytest.raises(MechanismUnsupportedError, match="attribute decrypt"):
        signing.exchange(ec.ECDH(), ec.generate_private_key(ec.SECP256R1()).public_key())

    pss = padding.PSS(padding.MGF1(sha256), padding.PSS.DIGEST_LENGTH)
    only_pss = registry.open_key("tpm2:handle=0x81000032")
    only_pss.public_key().verify(only_pss.sign(b"m", pss, sha256), b"m", pss, sha256)
    for scheme, algorithm in ((padding.PKCS1v15(), sha256), (padding.PSS(padding.MGF1(sha256), 0), sha256)):
        with pytest.raises(MechanismUnsupportedError):
            only_pss.sign(b"m", scheme, algorithm)

    only_oaep = registry.open_key("tpm2:handle=0x81000033")
    oaep = padding.OAEP(padding.MGF1(sha256), sha256, None)
    assert only_oaep.decrypt(only_oaep.public_key().encrypt(b"m", oaep), oaep) == b"m"
    with pytest.raises(MechanismUnsupportedError, match="attribute sign"):
        only_oaep.sign(b"m", pss, sha256)
    with pytest.raises(MechanismUnsupportedError):
        only_oaep.decrypt(bytes(256), padding.PKCS1v15())


def test_a_closed_key_says_so(swtpm: Swtpm, tmp_path) -> None:
    with registry.create_key(f"tpm2:file={tmp_path}/key.pem", "ec-p256") as key:
        key.sign(b"m", ec.ECDSA(hashes.SHA256()))
    key.close()
    with pytest.raises(KeyStoreError, match="closed"):
        key.sign(b"m", ec.ECDSA(hashes.SHA256()))


@pytest.mark.slow
def test_paddings_against_cryptography() -> None:
    """EMSA-PKCS1-v1_5, EMSA-PSS and EME-OAEP, raised with bare integers, are what cryptography makes and reads."""
    for asked in (2048, 2050, 2055):
        software = rsa.generate_private_key(public_exponent=65537, key_size=asked)
        bits = software.key_size  # OpenSSL rounds odd lengths down
        numbers = software.private_numbers()
        modulus, size = numbers.public_numbers.n, (bits + 7) // 8

        def raw(block: bytes, exponent: int = numbers.d, modulus: int = modulus, size: int = size) -> bytes:
            return pow(int.from_bytes(block, "big"), exponent, modulus).to_bytes(size, "big")

        public = software.public_key()
        for algorithm in HASHES[:5]:
            digest = hashes.Hash(algorithm)
            digest.update(b"m")
            value = digest.finalize()
            public.verify(raw(pkcs1_encode(value, algorithm, size)), b"m", padding.PKCS1v15(), algorithm)
            for salt in (0, 17, padding.calculate_max_pss_salt_length(public, algorithm)):
                block = pss_encode(value, algorithm, hashes.SHA256(), salt, bits)
                public.verify(raw(block), b"m", padding.PSS(padding.MGF1(hashes.SHA256()), salt), algorithm)
            oaep = padding.OAEP(padding.MGF1(hashes.SHA384()), algorithm, None)
            for plaintext in (b"", b"\x00\x01", b"x" * (size - 2 * algorithm.digest_size - 2)):
                block = raw(public.encrypt(plaintext, oaep))
                assert oaep_decode(block, algorithm, hashes.SHA384()) == plaintext
                for position in (0, 1, algorithm.digest_size + 1, size - 1):
                    damaged = bytearray(block)
                    damaged[position] ^= 1
                    if position == size - 1 and plaintext and bytes(damaged) != block:
                        continue  # the last byte of the plaintext is not covered by the hash of the label alone
                    with pytest.raises(ValueError, match="Decryption failed"):
                        oaep_decode(bytes(damaged), algorithm, hashes.SHA384())
    with pytest.raises(ValueError, match="too short"):
        pss_encode(bytes(64), hashes.SHA512(), hashes.SHA512(), 200, 2048)
    with pytest.raises(ValueError, match="too short"):
        pkcs1_encode(bytes(64), hashes.SHA512(), 64)
    with pytest.raises(MechanismUnsupportedError):
        pkcs1_encode(bytes(32), hashes.SHA3_256(), 256)
