"""How a /serverkeygen request names the key that protects the answer (RFC 7030 section 4.4.1, EST-192)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from device_sdk.errors import ConfigurationError
from device_sdk.model.keys import PrivateKey
from device_sdk.model.shared_key import SharedKey
from device_sdk.wire import der
from device_sdk.wire.cms import oids
from device_sdk.wire.key_packages.encrypted import ENCRYPTED_KEY_PACKAGE

DECRYPT_KEY_IDENTIFIER = "1.2.840.113549.1.9.16.2.37"
ASYMMETRIC_DECRYPT_KEY_IDENTIFIER = "1.2.840.113549.1.9.16.2.54"
SMIME_CAPABILITIES = "1.2.840.113549.1.9.15"
TAKES_ENCRYPTED_KEY_PACKAGES = "1.2.840.113549.1.9.3", der.oid(ENCRYPTED_KEY_PACKAGE)
"""An attribute of the request: a content type that the client takes keys in (RFC 8295 section 8.1; A-03)."""

_AES = "2.16.840.1.101.3.4.1."
_SHA256 = "2.16.840.1.101.3.4.2.1"
_ECDH_SHA256 = "1.3.132.1.11.1"
_WRAPS = {16: _AES + "5", 24: _AES + "25", 32: _AES + "45"}
_CIPHERS = (_AES + "42", _AES + "2")  # content encryption: AES-256-CBC, AES-128-CBC
_NULL = b"\x05\x00"


@dataclass(frozen=True)
class DecryptionKey:
    """A key of ours with a certificate that the server knows; the key may live in a token or TPM.

    Attributes:
        certificate: its subjectKeyIdentifier is what the request names.
        key: RSA (key transport) or EC (key agreement).

    Raises:
        ConfigurationError: the certificate is for another key, or for one that encrypts nothing (KeyUsage).
    """

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        if self.certificate.public_key() != self.key.public_key():
            raise ConfigurationError(
                "the certificate for decryption is for another key", hint="give the certificate of that very key"
            )
        try:
            usage = self.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        except x509.ExtensionNotFound:
            return
        # RFC 7030 section 4.4.1.2: explicitly support keyTransport or keyAgreement, or be unrestricted
        if not (usage.key_encipherment if isinstance(self.key, rsa.RSAPrivateKey) else usage.key_agreement):
            raise ConfigurationError(
                "the certificate for decryption is for a key that must not be used so (KeyUsage)",
                hint="keyEncipherment is needed for RSA, keyAgreement for elliptic curves",
            )

    @property
    def identifier(self) -> bytes:
        """The certificate's subjectKeyIdentifier; where it has none, that of RFC 5280 section 4.2.1.2, method 1."""
        try:
            return self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        except x509.ExtensionNotFound:
            return x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()).digest


ProtectionKey: TypeAlias = SharedKey | DecryptionKey
"""What the server is to encrypt the private key to."""


def protection_attributes(protection: ProtectionKey) -> tuple[tuple[str, bytes], ...]:
    """The attributes of the request, as CsrSpec.attributes takes them: the key's identifier and SMIMECapabilities."""
    name = DECRYPT_KEY_IDENTIFIER if isinstance(protection, SharedKey) else ASYMMETRIC_DECRYPT_KEY_IDENTIFIER
    capabilities = (*_key_encipherment(protection), *(_capability(cipher) for cipher in _CIPHERS))
    return (name, der.tlv(0x04, protection.identifier)), (SMIME_CAPABILITIES, der.sequence(*capabilities))


def _key_encipherment(protection: ProtectionKey) -> tuple[bytes, ...]:
    """What the key can open, the best first (RFC 8551 section 2.5.2)."""
    if isinstance(protection, SharedKey):
        return (_capability(_WRAPS[len(protection.key.reveal())]),)
    if isinstance(protection.key, rsa.RSAPrivateKey):
        return _capability(oids.RSAES_OAEP, _oaep_sha256()), _capability(oids.RSA_ENCRYPTION, _NULL)
    wraps = (_WRAPS[32], _WRAPS[16])
    agreements = (_capability(_ECDH_SHA256, _capability(wrap)) for wrap in wraps)
    return *agreements, *(_capability(wrap) for wrap in wraps)


def _capability(dotted: str, parameters: bytes = b"") -> bytes:
    return der.sequence(der.oid(dotted), parameters)


def _oaep_sha256() -> bytes:
    """RSAES-OAEP-params with SHA-256 for hash and mask (RFC 4055 section 4.1)."""
    digest = _capability(_SHA256, _NULL)
    mask = _capability(oids.MGF1, digest)
    return der.sequence(der.tlv(0xA0, digest), der.tlv(0xA1, mask))
