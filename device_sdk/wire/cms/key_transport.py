"""KeyTransRecipientInfo: the content key encrypted with RSA (RFC 5652 section 6.2.1, RFC 3370, RFC 3560)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.errors import KeyStoreFailedError, MechanismUnsupportedError
from device_sdk.model.wiping import passing
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.reader import SEQUENCE, Reader

_SUBJECT_KEY_IDENTIFIER = 0x80
_HASH, _MASK, _LABEL = 0xA0, 0xA1, 0xA2

# What says no more than "this block does not decrypt". Tokens and TPMs report bad padding as a general failure, so such
# a failure must look like any other; a wrong PIN, a removed token or a busy one are themselves and pass.
_DOES_NOT_OPEN = (ValueError, UnsupportedAlgorithm, MechanismUnsupportedError, KeyStoreFailedError)


@dataclass(frozen=True)
class KeyTransport:
    """A content key encrypted with RSA.

    Attributes:
        scheme: PKCS#1 v1.5, or OAEP with its parameters.
        algorithms: its names as policies have them.
        encrypted_key: one RSA block.
        subject_key_id: the recipient's subjectKeyIdentifier, if it is named by that.
    """

    scheme: padding.PKCS1v15 | padding.OAEP
    algorithms: tuple[str, ...]
    encrypted_key: bytes = field(repr=False)
    subject_key_id: bytes | None = None

    def fits(self, key: rsa.RSAPrivateKey) -> bool:
        """Whether the block has the size of this key's modulus; nothing else could be decrypted with it."""
        return len(self.encrypted_key) == (key.key_size + 7) // 8

    def names(self, key: rsa.RSAPrivateKey) -> bool:
        """Whether the recipient is named by this key's identifier (RFC 5280 section 4.2.1.2, method 1)."""
        if self.subject_key_id is None:
            return False
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
        return hashlib.sha1(public, usedforsecurity=False).digest() == self.subject_key_id

    def unwrap(self, key: rsa.RSAPrivateKey) -> bytes | None:
        """What the block decrypts to, of any length, or None. One operation of the private key.

        Raises:
            KeyStoreError: the key cannot be used at all (PIN, token removed, busy).
        """
        try:
            return passing(key.decrypt(self.encrypted_key, self.scheme))
        except _DOES_NOT_OPEN:
            return None


def read_key_transport(info: Reader) -> KeyTransport | None:
    """Read a KeyTransRecipientInfo; None for an algorithm that is not supported.

    Args:
        info: inside its SEQUENCE.

    Raises:
        ValueError: it cannot be read.
    """
    info.integer()
    identifier = None
    if info.next_tag == SEQUENCE:
        info.contents()  # issuer and serial number say nothing about a key
    else:
        identifier = info.octets(_SUBJECT_KEY_IDENTIFIER)
    algorithm = info.enter()
    name = algorithm.oid()
    encrypted_key = info.octets()
    info.finish()
    if name == oids.RSA_ENCRYPTION:
        return KeyTransport(padding.PKCS1v15(), ("rsa-pkcs1",), encrypted_key, identifier)
    oaep = _read_oaep(algorithm) if name == oids.RSAES_OAEP else None
    return KeyTransport(*oaep, encrypted_key, identifier) if oaep else None


def _read_oaep(algorithm: Reader) -> tuple[padding.OAEP, tuple[str, ...]] | None:
    """RSAES-OAEP-params (RFC 4055 section 4.1): SHA-1, MGF1 with SHA-1 and an empty label unless it says otherwise."""
    digest: str | None = oids.SHA1
    mask: str | None = oids.SHA1
    label = b""
    parameters = algorithm.enter() if algorithm.next_tag == SEQUENCE else Reader(b"")
    if parameters.next_tag == _HASH:
        digest = parameters.enter(_HASH).enter().oid()
    if parameters.next_tag == _MASK:
        function = parameters.enter(_MASK).enter()
        mask = function.enter().oid() if function.oid() == oids.MGF1 else None
    if parameters.next_tag == _LABEL:
        source = parameters.enter(_LABEL).enter()
        if source.oid() != oids.P_SPECIFIED:
            return None
        label = source.octets()
    parameters.finish()
    if digest not in oids.HASHES or mask not in oids.HASHES:
        return None
    hashed, masked = oids.HASHES[digest](), oids.HASHES[mask]()
    names = tuple(dict.fromkeys(f"rsa-oaep-{one.name}" for one in (hashed, masked)))
    return padding.OAEP(padding.MGF1(masked), hashed, label or None), names
