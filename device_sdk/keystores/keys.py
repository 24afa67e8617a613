"""Key objects with cryptography's interfaces whose private half is somewhere else.

A keystore subclasses EcDeviceKey and RsaDeviceKey and implements the few operations on digests; hashing, pre-hashed
input, padding parameters and signature encodings are handled here, once for all hardware.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import NoReturn, Self

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric import utils as asym_utils

from device_sdk.errors import MechanismUnsupportedError, NotExtractableError
from device_sdk.model.keys import KeyInfo


class DeviceKey(ABC):
    """A key opened from a keystore; also one of cryptography's private-key classes. Safe to use from several threads."""

    @property
    @abstractmethod
    def info(self) -> KeyInfo:
        """What was read back about this key when it was opened."""

    @abstractmethod
    def close(self) -> None:
        """Release what the key holds in the token or TPM; using it afterwards is an error. Closing twice is not."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def _refuse_export(self) -> NoReturn:
        raise NotExtractableError("the private key does not leave its keystore", uri=self.info.uri)

    def _unsupported(self, mechanism: str) -> NoReturn:
        raise MechanismUnsupportedError(
            f"{self.info.uri}: {mechanism} is not supported by this key", uri=self.info.uri, mechanism=mechanism
        )


def digest_of(
    data: bytes, algorithm: hashes.HashAlgorithm | asym_utils.Prehashed
) -> tuple[bytes, hashes.HashAlgorithm]:
    """The digest to sign and the hash it was made with; takes Prehashed input as it is.

    Raises:
        ValueError: pre-hashed data whose length is not the hash's.
    """
    if isinstance(algorithm, asym_utils.Prehashed):
        inner: hashes.HashAlgorithm = algorithm._algorithm  # no public accessor exists
        if len(data) != inner.digest_size:
            raise ValueError(f"pre-hashed data is {len(data)} bytes, {inner.name} has {inner.digest_size}")
        return bytes(data), inner
    hasher = hashes.Hash(algorithm)
    hasher.update(data)
    return hasher.finalize(), algorithm


class EcDeviceKey(DeviceKey, ec.EllipticCurvePrivateKey):
    """An elliptic curve key in a token or TPM."""

    @abstractmethod
    def _sign_digest(self, digest: bytes, algorithm: hashes.HashAlgorithm) -> tuple[int, int]:
        """ECDSA over a digest: (r, s)."""

    @abstractmethod
    def _agree(self, peer: ec.EllipticCurvePublicKey) -> bytes:
        """The ECDH shared secret: x coordinate, big-endian, as long as the field."""

    def sign(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:  # type: ignore[override]
        """ECDSA signature, DER ECDSA-Sig-Value (RFC 3279 section 2.2.3)."""
        if not isinstance(signature_algorithm, ec.ECDSA):
            self._unsupported(type(signature_algorithm).__name__)
        digest, algorithm = digest_of(data, signature_algorithm.algorithm)
        return asym_utils.encode_dss_signature(*self._sign_digest(digest, algorithm))

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """ECDH shared secret, big-endian, as long as the field; ValueError for a key on another curve."""
        if peer_public_key.curve.name != self.curve.name:
            raise ValueError(f"peer key is on {peer_public_key.curve.name}, this key on {self.curve.name}")
        return self._agree(peer_public_key)

    @property
    def curve(self) -> ec.EllipticCurve:
        """The key's curve."""
        return self.public_key().curve

    @property
    def key_size(self) -> int:
        """Field size in bits."""
        return self.public_key().key_size

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """Raises NotExtractableError."""
        self._refuse_export()

    def private_bytes(
        self,
        encoding: serialization.Encoding,
        format: serialization.PrivateFormat,  # noqa: A002  # cryptography's own parameter name
        encryption_algorithm: serialization.KeySerializationEncryption,
    ) -> bytes:
        """Raises NotExtractableError."""
        self._refuse_export()


class RsaDeviceKey(DeviceKey, rsa.RSAPrivateKey):
    """An RSA key in a token or TPM."""

    @abstractmethod
    def _sign_pkcs1(self, digest: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        """RSASSA-PKCS1-v1_5 over a digest."""

    @abstractmethod
    def _sign_pss(
        self, digest: bytes, algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm, salt_bytes: int
    ) -> bytes:
        """RSASSA-PSS over a digest."""

    @abstractmethod
    def _decrypt_pkcs1(self, ciphertext: bytes) -> bytes:
        """RSAES-PKCS1-v1_5; ValueError for bad padding, which the CMS layer must hide."""

    @abstractmethod
    def _decrypt_oaep(self, ciphertext: bytes, algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm) -> bytes:
        """RSAES-OAEP with an empty label; ValueError for bad padding."""

    def sign(
        self,
        data: bytes,
        padding: padding.AsymmetricPadding,
        algorithm: asym_utils.Prehashed | hashes.HashAlgorithm | asym_utils.NoDigestInfo,
    ) -> bytes:
        """RSA signature, as long as the modulus; PKCS#1 v1.5 or PSS."""
        return self._sign(data, padding, algorithm)

    def _sign(
        self,
        data: bytes,
        scheme: padding.AsymmetricPadding,
        algorithm: asym_utils.Prehashed | hashes.HashAlgorithm | asym_utils.NoDigestInfo,
    ) -> bytes:
        if isinstance(algorithm, asym_utils.NoDigestInfo):
            self._unsupported("NoDigestInfo")
        digest, used = digest_of(data, algorithm)
        if isinstance(scheme, padding.PKCS1v15):
            return self._sign_pkcs1(digest, used)
        if isinstance(scheme, padding.PSS):
            mgf = scheme.mgf._algorithm
            return self._sign_pss(digest, used, mgf, self._salt_bytes(scheme, used))
        self._unsupported(scheme.name)

    def _salt_bytes(self, scheme: padding.PSS, algorithm: hashes.HashAlgorithm) -> int:
        salt = scheme._salt_length
        if isinstance(salt, int):
            return salt
        if salt is padding.PSS.DIGEST_LENGTH:
            return algorithm.digest_size
        if salt is padding.PSS.MAX_LENGTH:
            return padding.calculate_max_pss_salt_length(self.public_key(), algorithm)
        self._unsupported("PSS with automatic salt length")

    def decrypt(self, ciphertext: bytes, padding: padding.AsymmetricPadding) -> bytes:
        """The plaintext of one RSA block; ValueError when it does not decrypt."""
        return self._decrypt(ciphertext, padding)

    def _decrypt(self, ciphertext: bytes, scheme: padding.AsymmetricPadding) -> bytes:
        size = (self.key_size + 7) // 8
        if len(ciphertext) != size:
            raise ValueError(f"ciphertext is {len(ciphertext)} bytes, the modulus {size}")
        if isinstance(scheme, padding.PKCS1v15):
            return self._decrypt_pkcs1(ciphertext)
        if isinstance(scheme, padding.OAEP):
            if scheme._label:
                self._unsupported("OAEP with a label")
            return self._decrypt_oaep(ciphertext, scheme.algorithm, scheme.mgf._algorithm)
        self._unsupported(scheme.name)

    @property
    def key_size(self) -> int:
        """Modulus length in bits."""
        return self.public_key().key_size

    def private_numbers(self) -> rsa.RSAPrivateNumbers:
        """Raises NotExtractableError."""
        self._refuse_export()

    def private_bytes(
        self,
        encoding: serialization.Encoding,
        format: serialization.PrivateFormat,  # noqa: A002  # cryptography's own parameter name
        encryption_algorithm: serialization.KeySerializationEncryption,
    ) -> bytes:
        """Raises NotExtractableError."""
        self._refuse_export()
