"""The key objects that come out of a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk.errors import MechanismUnsupportedError
from device_sdk.keystores.keys import EcDeviceKey, RsaDeviceKey
from device_sdk.keystores.pkcs11 import codes, operations
from device_sdk.keystores.pkcs11.access import Access
from device_sdk.keystores.pkcs11.codes import CkError
from device_sdk.keystores.pkcs11.failures import failure
from device_sdk.keystores.rsa_padding import oaep_decode, pkcs1_decode, pss_encode
from device_sdk.model.keys import KeyInfo

_RAW = ("raw",)

DECRYPTION_FAILED = "Decryption failed"
"""The one text for everything that can be wrong with a ciphertext; the text of rsa_padding."""


class Pkcs11EcKey(EcDeviceKey):
    """An elliptic curve key in a PKCS#11 token."""

    def __init__(self, access: Access, info: KeyInfo, public: ec.EllipticCurvePublicKey) -> None:
        self._access = access
        self._info = info
        self._public = public

    @property
    def info(self) -> KeyInfo:
        """What was read back about this key when it was opened."""
        return self._info

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half, read when the key was opened."""
        return self._public

    def close(self) -> None:
        """Let go of the token; the last key and store to do so log out."""
        self._access.close()

    def _sign_digest(self, digest: bytes, algorithm: hashes.HashAlgorithm) -> tuple[int, int]:
        curve = self._public.curve
        return self._access.use_reporting(lambda key, pin: operations.sign_ecdsa(key, digest, curve, pin))

    def _agree(self, peer: ec.EllipticCurvePublicKey) -> bytes:
        return self._access.use_reporting(lambda key, pin: operations.derive(key, peer))


class Pkcs11RsaKey(RsaDeviceKey):
    """An RSA key in a PKCS#11 token."""

    def __init__(self, access: Access, info: KeyInfo, public: rsa.RSAPublicKey) -> None:
        self._access = access
        self._info = info
        self._public = public
        # What the module was asked for once and cannot do; asking again would cost a session each time.
        self._refused: set[tuple[str, ...]] = set()

    @property
    def info(self) -> KeyInfo:
        """What was read back about this key when it was opened."""
        return self._info

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half, read when the key was opened."""
        return self._public

    def close(self) -> None:
        """Let go of the token; the last key and store to do so log out."""
        self._access.close()

    def _sign_pkcs1(self, digest: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        return self._access.use_reporting(lambda key, pin: operations.sign_pkcs1(key, digest, algorithm, pin))

    def _sign_pss(
        self, digest: bytes, algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm, salt_bytes: int
    ) -> bytes:
        names = (algorithm.name, mgf.name)
        if ("pss", *names) not in self._refused:
            try:
                return self._access.use(lambda key, pin: operations.sign_pss(key, digest, names, salt_bytes, pin))
            except CkError as error:
                self._refuse_or_raise(error, ("pss", *names))
        block = pss_encode(digest, algorithm, mgf, salt_bytes, self.key_size)
        try:
            return self._access.use(lambda key, pin: operations.sign_raw(key, block, pin))
        except CkError as error:
            raise self._no_way(error, f"PSS with {'/'.join(names)}", "PKCS#1 v1.5") from error

    def _decrypt_pkcs1(self, ciphertext: bytes) -> bytes:
        block = self._raw_block(ciphertext)
        if block is not None:
            return pkcs1_decode(block)
        try:
            return self._decrypted(lambda key, pin: operations.decrypt_pkcs1(key, ciphertext, pin))
        except CkError as error:
            raise failure(error, self._info.uri) from None

    def _decrypt_oaep(self, ciphertext: bytes, algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm) -> bytes:
        block = self._raw_block(ciphertext)
        if block is not None:
            return oaep_decode(block, algorithm, mgf)
        names = (algorithm.name, mgf.name)
        try:
            return self._decrypted(lambda key, pin: operations.decrypt_oaep(key, ciphertext, names, pin))
        except CkError as error:
            raise self._no_way(error, f"OAEP with {'/'.join(names)}", "OAEP with SHA-1, PKCS#1 v1.5") from error

    def _raw_block(self, ciphertext: bytes) -> bytes | None:
        """The padded block, by the bare RSA operation; None if that fails, and the token's own padding is to be tried.

        Preferred to the token's paddings: what a token does about a bad one takes another time than a good one (in SoftHSM
        by 5 per cent), which is all that Bleichenbacher's and Manger's attacks need.

        Raises:
            ValueError: the number is not below the modulus.
        """
        if int.from_bytes(ciphertext, "big") >= self._public.public_numbers().n:
            raise ValueError(DECRYPTION_FAILED)  # as anybody can see
        if _RAW in self._refused:
            return None
        try:
            return self._decrypted(lambda key, pin: operations.decrypt_raw(key, ciphertext, pin))
        except ValueError:
            return None  # every number has a result, so it is the module's word for something else
        except CkError as error:
            self._refuse_or_raise(error, _RAW)
            return None

    def _decrypted(self, operation: Callable[[Any, str | None], bytes]) -> bytes:
        """Run a decryption; one ValueError for every way a ciphertext can be bad.

        The session is kept then, unlike after other failures: closing it, opening another one and finding the key there
        takes longer than the paddings of a good and of a bad block differ in a token, and would tell them apart.
        """

        def run(key: Any, pin: str | None) -> bytes | None:
            try:
                return operation(key, pin)
            except CkError as error:
                if error.code not in codes.BAD_CIPHERTEXT:
                    raise
                return None

        plaintext = self._access.use(run)
        if plaintext is None:
            raise ValueError(DECRYPTION_FAILED)
        return plaintext

    def _refuse_or_raise(self, error: CkError, what: tuple[str, ...]) -> None:
        if error.code not in codes.UNSUPPORTED:
            raise failure(error, self._info.uri) from error
        self._refused.add(what)

    def _no_way(self, error: CkError, mechanism: str, others: str) -> Exception:
        if error.code not in codes.UNSUPPORTED:
            return failure(error, self._info.uri)
        return MechanismUnsupportedError(
            f"{self._info.uri}: the token does neither {mechanism} nor bare RSA",
            hint=f"it may do {others}: see device-sdk keys probe",
            uri=self._info.uri,
            return_code=error.code,
            mechanism=mechanism,
        )
