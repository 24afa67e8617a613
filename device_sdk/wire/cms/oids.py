"""The algorithms a message may use; whatever is not here is refused (3DES, RC2, ECMQV and all others)."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes

ENVELOPED_DATA = "1.2.840.113549.1.7.3"
AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23"
DATA = "1.2.840.113549.1.7.1"
ENCRYPTED_DATA = "1.2.840.113549.1.7.6"
SIGNED_DATA = "1.2.840.113549.1.7.2"

RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
RSAES_OAEP = "1.2.840.113549.1.1.7"
MGF1 = "1.2.840.113549.1.1.8"
P_SPECIFIED = "1.2.840.113549.1.1.9"

_AES = "2.16.840.1.101.3.4.1."


@dataclass(frozen=True)
class ContentCipher:
    """A content encryption algorithm.

    Attributes:
        name: as policies have it.
        mode: "cbc" or "kwp" (EnvelopedData, EncryptedData); "gcm", "ccm" or "chacha" (AuthEnvelopedData).
        key_bytes: length of the content encryption key.
    """

    name: str
    mode: str
    key_bytes: int


CIPHERS = {
    _AES + "2": ContentCipher("aes-128-cbc", "cbc", 16),
    _AES + "22": ContentCipher("aes-192-cbc", "cbc", 24),
    _AES + "42": ContentCipher("aes-256-cbc", "cbc", 32),
    _AES + "6": ContentCipher("aes-128-gcm", "gcm", 16),
    _AES + "26": ContentCipher("aes-192-gcm", "gcm", 24),
    _AES + "46": ContentCipher("aes-256-gcm", "gcm", 32),
    _AES + "7": ContentCipher("aes-128-ccm", "ccm", 16),
    _AES + "27": ContentCipher("aes-192-ccm", "ccm", 24),
    _AES + "47": ContentCipher("aes-256-ccm", "ccm", 32),
    "1.2.840.113549.1.9.16.3.18": ContentCipher("chacha20-poly1305", "chacha", 32),
    # AES key wrap with padding as a content cipher, for key packages only (RFC 6160 section 3); no default policy has it
    _AES + "8": ContentCipher("aes-128-wrap-pad", "kwp", 16),
    _AES + "28": ContentCipher("aes-192-wrap-pad", "kwp", 24),
    _AES + "48": ContentCipher("aes-256-wrap-pad", "kwp", 32),
}

KEY_WRAP_BYTES = {_AES + "5": 16, _AES + "25": 24, _AES + "45": 32}
"""AES key wrap (RFC 3394) to the length of its key."""

PADDED_WRAP_BYTES = {_AES + "8": 16, _AES + "28": 24, _AES + "48": 32}
"""AES key wrap with padding (RFC 5649) likewise."""

SHA1 = "1.3.14.3.2.26"

HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    SHA1: hashes.SHA1,
    "2.16.840.1.101.3.4.2.4": hashes.SHA224,
    "2.16.840.1.101.3.4.2.1": hashes.SHA256,
    "2.16.840.1.101.3.4.2.2": hashes.SHA384,
    "2.16.840.1.101.3.4.2.3": hashes.SHA512,
}

# For curves of cofactor 1, which are all that a key of the SDK can be on, the cofactor forms are the same computation.
ECDH_KDF: dict[str, type[hashes.HashAlgorithm]] = {
    "1.3.133.16.840.63.0.2": hashes.SHA1,
    "1.3.133.16.840.63.0.3": hashes.SHA1,
    "1.3.132.1.11.0": hashes.SHA224,
    "1.3.132.1.11.1": hashes.SHA256,
    "1.3.132.1.11.2": hashes.SHA384,
    "1.3.132.1.11.3": hashes.SHA512,
    "1.3.132.1.14.0": hashes.SHA224,
    "1.3.132.1.14.1": hashes.SHA256,
    "1.3.132.1.14.2": hashes.SHA384,
    "1.3.132.1.14.3": hashes.SHA512,
}
"""dhSinglePass-stdDH and -cofactorDH with the X9.63 KDF (RFC 5753 section 7.1.4) to the hash of the KDF."""
