"""RSA keys in a TPM 2.0."""

from __future__ import annotations

import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from tpm2_pytss import ESAPI, TPM2_ALG, TPM2B_DATA, TPMT_RSA_DECRYPT, TSS2_Exception

from device_sdk.errors import MechanismUnsupportedError
from device_sdk.keystores.keys import RsaDeviceKey
from device_sdk.keystores.rsa_padding import oaep_decode, pkcs1_decode, pkcs1_encode, pss_encode
from device_sdk.keystores.tpm2.errors import FAILURE, SIZE, VALUE, base_code
from device_sdk.keystores.tpm2.held import HASHES, Held, no_ticket, signature_scheme
from device_sdk.keystores.tpm2.scope import Handle
from device_sdk.keystores.tpm2.sealing import wipe, wipe_answer
from device_sdk.keystores.tpm2.templates import PublicArea
from device_sdk.model.keys import KeyInfo

_BAD_BLOCK = (VALUE, SIZE, FAILURE)
_TRUSTED_HEALTH_S = 1.0


class TpmRsaKey(RsaDeviceKey):
    """An RSA key: PKCS#1 v1.5 and PSS signatures, v1.5 and OAEP decryption.

    What the TPM has no scheme for (another hash, another MGF1 hash, another salt length) is padded here around the TPM's
    bare RSA operation, if the key may do that. The padding of what is decrypted is always looked at here, but for keys with
    a fixed scheme: a TPM's answer to a bad one is shorter and comes at another time, which is all that Bleichenbacher's and
    Manger's attacks need.

    Args:
        held: the way to it.
        area: its public area.
        info: what was read back.
    """

    def __init__(self, held: Held, area: PublicArea, info: KeyInfo) -> None:
        self._held, self._area, self._info = held, area, info
        # what was read when the key was opened was read from a TPM in good health
        self._well_until = time.monotonic() + _TRUSTED_HEALTH_S

    @property
    def info(self) -> KeyInfo:
        """What the TPM said about the key when it was opened."""
        return self._info

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half, as the TPM gave it."""
        key = self._area.public_key
        assert isinstance(key, rsa.RSAPublicKey)  # noqa: S101  # opened as such
        return key

    def close(self) -> None:
        """Stop using the key."""
        self._held.close()

    def _sign_pkcs1(self, digest: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        self._require("sign", "PKCS#1 v1.5 signatures")
        if self._has_scheme(TPM2_ALG.RSASSA, algorithm):
            return self._tpm_sign(TPM2_ALG.RSASSA, digest, algorithm)
        return self._raw(pkcs1_encode(digest, algorithm, self._size), f"PKCS#1 v1.5 with {algorithm.name}")

    def _sign_pss(
        self, digest: bytes, algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm, salt_bytes: int
    ) -> bytes:
        self._require("sign", "PSS signatures")
        by_tpm = self._has_scheme(TPM2_ALG.RSAPSS, algorithm) and mgf.name == algorithm.name
        if by_tpm and salt_bytes == algorithm.digest_size:
            signature = self._tpm_sign(TPM2_ALG.RSAPSS, digest, algorithm)
            # TPMs before revision 1.38 use the longest salt that fits, which TLS 1.3 and others refuse
            if self._salt_is(signature, digest, algorithm, salt_bytes):
                return signature
        block = pss_encode(digest, algorithm, mgf, salt_bytes, self.key_size)
        return self._raw(block, f"PSS with {algorithm.name}, MGF1 {mgf.name} and a salt of {salt_bytes} bytes")

    def _salt_is(self, signature: bytes, digest: bytes, algorithm: hashes.HashAlgorithm, salt_bytes: int) -> bool:
        scheme = padding.PSS(padding.MGF1(algorithm), salt_bytes)
        try:
            self.public_key().verify(signature, digest, scheme, Prehashed(algorithm))
        except InvalidSignature:
            return False
        return True

    def _decrypt_pkcs1(self, ciphertext: bytes) -> bytes:
        self._require("decrypt", "decryption")
        if self._area.scheme is None:
            return pkcs1_decode(self._raw(ciphertext, "PKCS#1 v1.5 decryption"))
        if self._area.scheme != int(TPM2_ALG.RSAES):
            self._unsupported("PKCS#1 v1.5 decryption")
        return self._tpm_decrypt(ciphertext, TPMT_RSA_DECRYPT(scheme=TPM2_ALG.RSAES))

    def _decrypt_oaep(self, ciphertext: bytes, algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm) -> bytes:
        self._require("decrypt", "decryption")
        if self._area.scheme is not None and self._has_scheme(TPM2_ALG.OAEP, algorithm) and mgf.name == algorithm.name:
            scheme = TPMT_RSA_DECRYPT(scheme=TPM2_ALG.OAEP)
            scheme.details.oaep.hashAlg = HASHES[algorithm.name]
            return self._tpm_decrypt(ciphertext, scheme)
        block = self._raw(ciphertext, f"OAEP with {algorithm.name} and MGF1 {mgf.name}")
        return oaep_decode(block, algorithm, mgf)

    def _require(self, usage: str, mechanism: str) -> None:
        if not self._area.attributes[usage]:
            self._unsupported(f"{mechanism} (the key was made without the attribute {usage})")

    @property
    def _size(self) -> int:
        return (self.key_size + 7) // 8

    def _has_scheme(self, scheme: int, algorithm: hashes.HashAlgorithm) -> bool:
        if algorithm.name not in HASHES:
            return False
        return self._area.scheme is None or (
            self._area.scheme == int(scheme) and self._area.scheme_hash == int(HASHES[algorithm.name])
        )

    def _tpm_sign(self, scheme: int, digest: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        def sign(esys: ESAPI, handle: Handle) -> bytes:
            # tpm2-pytss: the parts of a structure live no longer than the structure
            answer = esys.sign(handle, digest, signature_scheme(scheme, HASHES[algorithm.name]), no_ticket())
            value = answer.signature.rsassa if scheme == TPM2_ALG.RSASSA else answer.signature.rsapss
            return bytes(value.sig)

        return self._held.use("sign", sign).rjust(self._size, b"\0")

    def _tpm_decrypt(self, ciphertext: bytes, scheme: TPMT_RSA_DECRYPT) -> bytes:
        def decrypt(esys: ESAPI, handle: Handle) -> bytes | None:
            self._check_health(esys)
            try:
                plain = esys.rsa_decrypt(handle, ciphertext, scheme, TPM2B_DATA())
            except TSS2_Exception as error:
                if base_code(int(error.rc)) not in _BAD_BLOCK:
                    raise
                value = None
            else:
                value = bytes(plain)
                wipe(plain)
            wipe_answer(esys)  # in either case: what a failure costs tells nothing
            return value

        plaintext = self._held.use("decrypt", decrypt)
        if plaintext is None:
            raise ValueError("Decryption failed")
        return plaintext

    def _check_health(self, esys: ESAPI) -> None:
        """Make sure now and then that TPM_RC_FAILURE, which libtpms answers to bad padding, is no failure of the TPM.

        By the clock and before the decryption: a question asked after each failure would tell by its time that there was
        one. A TPM in failure mode refuses this one, too.
        """
        if time.monotonic() >= self._well_until:
            esys.get_random(1)
            self._well_until = time.monotonic() + _TRUSTED_HEALTH_S

    def _raw(self, block: bytes, mechanism: str) -> bytes:
        """The bare private-key operation; TPM2_RSA_Decrypt without a scheme."""
        if self._area.scheme is not None or not self._area.attributes["decrypt"]:
            raise MechanismUnsupportedError(
                f"{self._held.where}: {mechanism} is not supported by this key",
                uri=self._held.where,
                mechanism=mechanism,
            )
        return self._tpm_decrypt(block, TPMT_RSA_DECRYPT(scheme=TPM2_ALG.NULL)).rjust(self._size, b"\0")
