"""The signature algorithms of SignedData that are accepted; whatever is not here is refused (SHA-1, MD5, DSA and all others)."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from device_sdk.wire.cms import oids
from device_sdk.wire.cms.reader import SEQUENCE, Reader

DIGESTS: dict[str, type[hashes.HashAlgorithm]] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256,
    "2.16.840.1.101.3.4.2.2": hashes.SHA384,
    "2.16.840.1.101.3.4.2.3": hashes.SHA512,
}
"""Hashes that signatures are made over; those that can be forged are not verified at all."""

RSASSA_PSS = "1.2.840.113549.1.1.10"

_RSA_WITH: dict[str, type[hashes.HashAlgorithm]] = {
    "1.2.840.113549.1.1.11": hashes.SHA256,
    "1.2.840.113549.1.1.12": hashes.SHA384,
    "1.2.840.113549.1.1.13": hashes.SHA512,
}
_ECDSA_WITH: dict[str, type[hashes.HashAlgorithm]] = {
    "1.2.840.10045.4.3.2": hashes.SHA256,
    "1.2.840.10045.4.3.3": hashes.SHA384,
    "1.2.840.10045.4.3.4": hashes.SHA512,
}
_HASH, _MASK, _SALT, _TRAILER = 0xA0, 0xA1, 0xA2, 0xA3
_MAX_SALT_BYTES = 1024  # OpenSSL fills the block by default


@dataclass(frozen=True)
class SignatureScheme:
    """How a signature was made.

    Attributes:
        family: "rsa" or "ec".
        digest: hash of what is signed.
        padding: for RSA.
    """

    family: str
    digest: hashes.HashAlgorithm
    padding: padding.PKCS1v15 | padding.PSS | None = None

    def verifies(self, key: CertificatePublicKeyTypes, signature: bytes, data: bytes) -> bool:
        """Whether the signature is one by this key over the data."""
        try:
            if self.padding is not None and isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, data, self.padding, self.digest)
            elif self.padding is None and isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, data, ec.ECDSA(self.digest))
            else:
                return False
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False
        return True


def read_scheme(algorithm: Reader, digest_oid: str) -> SignatureScheme | None:
    """Read a SignatureAlgorithmIdentifier; None for one that is not accepted.

    RFC 3370 section 3.2 lets the plain rsaEncryption stand for PKCS#1 v1.5 with the digest algorithm of the signer.

    Args:
        algorithm: inside its SEQUENCE.
        digest_oid: the signer's digestAlgorithm; a scheme with another hash is refused.

    Raises:
        ValueError: it cannot be read.
    """
    name = algorithm.oid()
    digest = DIGESTS.get(digest_oid)
    if digest is None:
        return None
    if name == oids.RSA_ENCRYPTION or _RSA_WITH.get(name) is digest:
        return SignatureScheme("rsa", digest(), padding.PKCS1v15())
    if _ECDSA_WITH.get(name) is digest:
        return SignatureScheme("ec", digest())
    return _read_pss(algorithm, digest) if name == RSASSA_PSS else None


def _read_pss(algorithm: Reader, digest: type[hashes.HashAlgorithm]) -> SignatureScheme | None:
    """RSASSA-PSS-params (RFC 4055 section 3.1); its defaults are SHA-1, so that hash and mask have to be named."""
    named = masked = ""
    salt_bytes = 20
    parameters = algorithm.enter() if algorithm.next_tag == SEQUENCE else Reader(b"")
    if parameters.next_tag == _HASH:
        named = parameters.enter(_HASH).enter().oid()
    if parameters.next_tag == _MASK:
        function = parameters.enter(_MASK).enter()
        masked = function.enter().oid() if function.oid() == oids.MGF1 else ""
    if parameters.next_tag == _SALT:
        salt_bytes = parameters.enter(_SALT).integer()
    if parameters.next_tag == _TRAILER and parameters.enter(_TRAILER).integer() != 1:
        return None
    parameters.finish()
    if DIGESTS.get(named) is not digest or masked not in DIGESTS or not 0 <= salt_bytes <= _MAX_SALT_BYTES:
        return None
    return SignatureScheme("rsa", digest(), padding.PSS(padding.MGF1(DIGESTS[masked]()), salt_bytes))
