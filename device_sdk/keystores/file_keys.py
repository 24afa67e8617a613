"""cryptography's own keys behind the interface of hardware keys, so that every user of a key sees one behaviour."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from device_sdk.errors import KeyStoreError
from device_sdk.keystores.keys import EcDeviceKey, RsaDeviceKey
from device_sdk.model.keys import KeyInfo


class FileEcKey(EcDeviceKey):
    """An elliptic curve key from a file.

    Args:
        key: the key.
        info: what is known about it.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey, info: KeyInfo) -> None:
        self._key: ec.EllipticCurvePrivateKey | None = key
        self._public = key.public_key()
        self._info = info

    @property
    def info(self) -> KeyInfo:
        """What is known about the key."""
        return self._info

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        return self._public

    def close(self) -> None:
        """Forget the key."""
        self._key = None

    def _sign_digest(self, digest: bytes, algorithm: hashes.HashAlgorithm) -> tuple[int, int]:
        return decode_dss_signature(self._open().sign(digest, ec.ECDSA(Prehashed(algorithm))))

    def _agree(self, peer: ec.EllipticCurvePublicKey) -> bytes:
        return self._open().exchange(ec.ECDH(), peer)

    def _open(self) -> ec.EllipticCurvePrivateKey:
        if self._key is None:
            raise KeyStoreError(f"{self._info.uri}: the key is closed", uri=self._info.uri)
        return self._key


class FileRsaKey(RsaDeviceKey):
    """An RSA key from a file.

    Args:
        key: the key.
        info: what is known about it.
    """

    def __init__(self, key: rsa.RSAPrivateKey, info: KeyInfo) -> None:
        self._key: rsa.RSAPrivateKey | None = key
        self._public = key.public_key()
        self._info = info

    @property
    def info(self) -> KeyInfo:
        """What is known about the key."""
        return self._info

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half."""
        return self._public

    def close(self) -> None:
        """Forget the key."""
        self._key = None

    def _sign_pkcs1(self, digest: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        return self._open().sign(digest, padding.PKCS1v15(), Prehashed(algorithm))

    def _sign_pss(
        self, digest: bytes, algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm, salt_bytes: int
    ) -> bytes:
        return self._open().sign(digest, padding.PSS(padding.MGF1(mgf), salt_bytes), Prehashed(algorithm))

    def _decrypt_pkcs1(self, ciphertext: bytes) -> bytes:
        return self._open().decrypt(ciphertext, padding.PKCS1v15())

    def _decrypt_oaep(self, ciphertext: bytes, algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm) -> bytes:
        return self._open().decrypt(ciphertext, padding.OAEP(padding.MGF1(mgf), algorithm, None))

    def _open(self) -> rsa.RSAPrivateKey:
        if self._key is None:
            raise KeyStoreError(f"{self._info.uri}: the key is closed", uri=self._info.uri)
        return self._key
