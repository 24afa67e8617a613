"""What a client says it decrypts (RFC 8551 section 2.5.2, RFC 4262), judged by pyasn1-alt-modules and the reference server."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from device_sdk_simulators.ca.hierarchy import make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.cale.capabilities import EcMethod, RsaMethod, capabilities_in, fit, method_for
from device_sdk_simulators.cale.certificates import Owner, make_certificate
from device_sdk_simulators.cale.ciphers import ContentCipher
from device_sdk_simulators.cale.envelope import seal
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc4262

from device_sdk.errors import ConfigurationError
from device_sdk.keystores.registry import create_key, probe
from device_sdk.model.csr import CsrSpec
from device_sdk.model.decryption import ALGORITHMS, AUTHENTICATED, EVERYTHING, HARDENED, DecryptionPolicy
from device_sdk.model.keys import PrivateKey
from device_sdk.wire.cms import open_envelope
from device_sdk.wire.csr import build_csr
from device_sdk.wire.csr_capabilities import capabilities_extension, with_capabilities
from tests.cms.messages import Recipient, failure_of

PLAINTEXT = b"within its capabilities"
SPEC = CsrSpec(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")]))
POLICIES = {"everything": EVERYTHING, "authenticated": AUTHENTICATED, "hardened": HARDENED}
CIPHERS = [ContentCipher(size, aead) for size, aead in itertools.product((16, 32), (False, True))]


def certificate_for(
    key: PrivateKey, policy: DecryptionPolicy, operations: dict[str, bool] | None = None
) -> x509.Certificate:
    """What the authorization server makes of a request that says what the key decrypts."""
    request = x509.load_der_x509_csr(build_csr(with_capabilities(SPEC, key.public_key(), policy, operations), key))
    now = datetime.now(UTC)
    issuer = make_authority("issuer", new_key("ec-p256"), now)
    extension = request.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.2.840.113549.1.9.15"))
    assert not extension.critical
    assert isinstance(extension.value, x509.UnrecognizedExtension)
    return make_certificate(
        issuer, Owner("device"), key.public_key(), now, now + timedelta(seconds=60), extension.value
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ["rsa-2048", "ec-p256"])
def test_rfc_8551_pyasn1_writes_the_same_octets(recipients: dict[str, Recipient], name: str, policy: str) -> None:
    extension = capabilities_extension(recipients[name].key.public_key(), POLICIES[policy])
    assert extension.oid.dotted_string == str(rfc4262.smimeCapabilities)
    encoded = extension.value.public_bytes()
    read, rest = decode(encoded, asn1Spec=rfc4262.SMIMECapabilities())
    assert (encode(read), rest) == (encoded, b"")
    assert len(encoded) < 700, "it travels in an HTTP header"


def test_the_octets_of_the_rfcs(recipients: dict[str, Recipient]) -> None:
    """RFC 3565 section 4.1, RFC 5084 section 4, RFC 8103 section 4, RFC 3560 section 4, RFC 5753 section 6."""
    rsa_value = capabilities_extension(recipients["rsa-2048"].key.public_key()).value.public_bytes()
    for printed in (
        "300b060960864801650304012a",
        "300b060960864801650304012e",
        "300d060b2a864886f70d0109100312",
        "300d06092a864886f70d0101073000",
        "300d06092a864886f70d0101010500",
    ):
        assert bytes.fromhex(printed) in rsa_value
    ec_value = capabilities_extension(recipients["ec-p256"].key.public_key()).value.public_bytes()
    assert bytes.fromhex("301506062b8104010b01300b0609608648016503040105") in ec_value


@pytest.mark.parametrize("hardened", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ["rsa-2048", "ec-p256", "ec-p521"])
def test_the_server_picks_within_them_and_the_client_accepts(
    recipients: dict[str, Recipient], name: str, policy: str, hardened: bool
) -> None:
    key = recipients[name].key
    certificate = certificate_for(key, POLICIES[policy])
    for wanted in CIPHERS:
        message = seal(PLAINTEXT, certificate, fit(wanted, certificate), hardened=hardened)
        assert open_envelope(message, key, policy=POLICIES[policy]) == PLAINTEXT


def test_the_cipher_of_the_connection_is_kept_where_the_client_reads_it(recipients: dict[str, Recipient]) -> None:
    key = recipients["ec-p256"].key
    draft, authenticated = certificate_for(key, EVERYTHING), certificate_for(key, AUTHENTICATED)
    for wanted in CIPHERS:
        assert fit(wanted, draft) == wanted
        assert fit(wanted, authenticated) == ContentCipher(wanted.key_bytes, aead=True)
    only = certificate_for(key, DecryptionPolicy(("aes-256-gcm", "ecdh-sha384", "aes-256-wrap")))
    assert {fit(wanted, only) for wanted in CIPHERS} == {ContentCipher(32, aead=True)}
    assert method_for(only, ContentCipher(16, aead=True), hardened=False) == EcMethod("sha384", 32)


def test_cale_66_a_hardened_server_writes_oaep_for_whoever_reads_it(recipients: dict[str, Recipient]) -> None:
    """Also where the client says that it reads PKCS#1 v1.5, too; that is left for those who read nothing else."""
    key = recipients["rsa-2048"].key
    everything = certificate_for(key, EVERYTHING)
    plain = certificate_for(key, DecryptionPolicy(("aes-256-cbc", "rsa-pkcs1")))
    for wanted in CIPHERS:
        assert method_for(everything, wanted, hardened=True) == RsaMethod("sha256", "sha256")
        assert method_for(everything, wanted, hardened=False) == RsaMethod()
        assert method_for(plain, wanted, hardened=True) == RsaMethod()


def test_what_is_not_there_is_not_chosen(recipients: dict[str, Recipient]) -> None:
    key = recipients["rsa-2048"].key
    chacha = certificate_for(key, DecryptionPolicy(("chacha20-poly1305", "rsa-oaep-sha512")))
    with pytest.raises(ValueError, match="no cipher"):
        fit(CIPHERS[0], chacha)
    oaep = certificate_for(key, DecryptionPolicy(("aes-128-gcm", "rsa-oaep-sha512")))
    assert method_for(oaep, CIPHERS[0], hardened=False) == RsaMethod("sha512", "sha512")
    assert capabilities_in(oaep.extensions).ec == ()  # type: ignore[union-attr]  # it has some


def test_a_policy_that_reaches_no_key_is_refused(recipients: dict[str, Recipient]) -> None:
    rsa_only = DecryptionPolicy(("aes-256-gcm", "rsa-pkcs1"))
    with pytest.raises(ConfigurationError, match="decrypts nothing"):
        capabilities_extension(recipients["ec-p256"].key.public_key(), rsa_only)
    with pytest.raises(ConfigurationError, match="decrypts nothing"):
        capabilities_extension(recipients["ec-p256"].key.public_key(), EVERYTHING, {"ecdh": False})
    with pytest.raises(ConfigurationError, match="cipher"):
        DecryptionPolicy(("rsa-pkcs1",))
    with pytest.raises(ConfigurationError, match="des-ede3-cbc"):
        DecryptionPolicy(("des-ede3-cbc", *ALGORITHMS))


@pytest.mark.slow
@pytest.mark.parametrize("keystore", ["pkcs11", "tpm2", "file"])
def test_what_the_hardware_does_not_do_is_not_offered(
    request: pytest.FixtureRequest, tmp_path: Path, keystore: str
) -> None:
    """What is offered is what a probe has seen working, in the token or around its bare RSA operation."""
    if keystore == "pkcs11":
        uri = request.getfixturevalue("softhsm_token").uri_of("cale")
    elif keystore == "tpm2":
        request.getfixturevalue("swtpm")
        uri = f"tpm2:file={tmp_path / 'key.pem'}"
    else:
        uri = f"file:{tmp_path / 'key.pem'}"
    operations = probe(uri).operations
    with create_key(uri, "rsa-2048") as key:
        assert isinstance(key, rsa.RSAPrivateKey)
        certificate = certificate_for(key, EVERYTHING, operations)
        offered = capabilities_in(certificate.extensions)
        assert offered is not None
        hashes = [method.oaep_hash for method in offered.rsa if method.oaep_hash]
        assert hashes == [name for name in ("sha256", "sha384", "sha512", "sha1") if operations[f"decrypt-oaep-{name}"]]
        for method in offered.rsa:
            message = seal(PLAINTEXT, certificate, CIPHERS[-1], method=method)
            assert open_envelope(message, key) == PLAINTEXT


@pytest.mark.parametrize(
    ("left_out", "name", "cipher", "method"),
    [
        ("aes-256-cbc", "ec-p256", ContentCipher(32, False), EcMethod("sha256")),
        ("aes-128-gcm", "ec-p256", ContentCipher(16, True), EcMethod("sha256")),
        ("ecdh-sha1", "ec-p256", ContentCipher(32, True), EcMethod("sha1")),
        ("aes-192-wrap", "ec-p256", ContentCipher(32, True), EcMethod("sha256", 24)),
        ("rsa-pkcs1", "rsa-2048", ContentCipher(32, True), RsaMethod()),
        ("rsa-oaep-sha1", "rsa-2048", ContentCipher(32, True), RsaMethod("sha256", "sha1")),
        ("rsa-oaep-sha512", "rsa-2048", ContentCipher(32, True), RsaMethod("sha512", "sha1")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_below_the_policy_is_not_for_us(
    recipients: dict[str, Recipient],
    left_out: str,
    name: str,
    cipher: ContentCipher,
    method: EcMethod | RsaMethod,
) -> None:
    """One and the same error, without an operation of the key."""
    key = recipients[name].key
    certificate = x509.load_pem_x509_certificate(recipients[name].certificate.read_bytes())
    message = seal(PLAINTEXT, certificate, cipher, method=method)
    assert open_envelope(message, key) == PLAINTEXT
    assert failure_of(message, key, policy=EVERYTHING.without([left_out]))
    others = EVERYTHING.without(set(ALGORITHMS) - {left_out} - set(used_by(cipher, method)))
    assert open_envelope(message, key, policy=others) == PLAINTEXT


def used_by(cipher: ContentCipher, method: EcMethod | RsaMethod) -> tuple[str, ...]:
    """The names of what a message uses."""
    content = f"aes-{8 * cipher.key_bytes}-{'gcm' if cipher.aead else 'cbc'}"
    if isinstance(method, EcMethod):
        return content, f"ecdh-{method.kdf_hash}", f"aes-{8 * (method.wrap_bytes or cipher.key_bytes)}-wrap"
    return (
        (content, f"rsa-oaep-{method.oaep_hash}", f"rsa-oaep-{method.mgf_hash}")
        if method.oaep_hash
        else (content, "rsa-pkcs1")
    )


def test_only_what_a_probe_saw_working_is_offered(recipients: dict[str, Recipient]) -> None:
    key = recipients["rsa-2048"].key
    seen = {"decrypt-pkcs1": False, "decrypt-oaep-sha1": True, "decrypt-oaep-sha256": False, "sign-pss-sha256": True}
    offered = capabilities_in(certificate_for(key, EVERYTHING, seen).extensions)
    assert offered is not None
    assert offered.rsa == (RsaMethod("sha1", "sha1"),)


@pytest.mark.parametrize("name", ["rsa-2048", "ec-p256"])
def test_what_nobody_needs_is_read_but_not_asked_for(recipients: dict[str, Recipient], name: str) -> None:
    """AES-192 in any mode, AES-CCM, SHA-1 and SHA-224 in the KDF."""
    encoded = capabilities_extension(recipients[name].key.public_key()).value.public_bytes()
    aes = "06096086480165030401"
    for arc in ("16", "1a", "19", "07", "1b", "2f"):
        assert bytes.fromhex(aes + arc) not in encoded
    for kdf in ("06092b81051086483f0002", "06062b8104010b00"):
        assert bytes.fromhex(kdf) not in encoded
