"""Elliptic curve keys in a TPM 2.0."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from tpm2_pytss import ESAPI, TPM2_ALG, TPM2B_ECC_POINT, TPMS_ECC_POINT

from device_sdk.keystores.keys import EcDeviceKey
from device_sdk.keystores.tpm2.held import HASHES, Held, no_ticket, signature_scheme
from device_sdk.keystores.tpm2.scope import Handle
from device_sdk.keystores.tpm2.sealing import wipe, wipe_answer
from device_sdk.keystores.tpm2.templates import PublicArea
from device_sdk.model.keys import KeyInfo


class TpmEcKey(EcDeviceKey):
    """An elliptic curve key: ECDSA with any hash, ECDH.

    Args:
        held: the way to it.
        area: its public area.
        info: what was read back.
    """

    def __init__(self, held: Held, area: PublicArea, info: KeyInfo) -> None:
        self._held, self._area, self._info = held, area, info

    @property
    def info(self) -> KeyInfo:
        """What the TPM said about the key when it was opened."""
        return self._info

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half, as the TPM gave it."""
        key = self._area.public_key
        assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101  # opened as such
        return key

    def close(self) -> None:
        """Stop using the key."""
        self._held.close()

    def _sign_digest(self, digest: bytes, algorithm: hashes.HashAlgorithm) -> tuple[int, int]:
        if not self._area.attributes["sign"]:
            self._unsupported("ECDSA (the key was made without the attribute sign)")
        label, value = self._as_the_tpm_takes_it(digest, algorithm)

        def sign(esys: ESAPI, handle: Handle) -> tuple[int, int]:
            # tpm2-pytss: the parts of a structure live no longer than the structure
            answer = esys.sign(handle, value, signature_scheme(TPM2_ALG.ECDSA, label), no_ticket())
            pair = answer.signature.ecdsa
            return _number(pair.signatureR), _number(pair.signatureS)

        return self._held.use("sign", sign)

    def _as_the_tpm_takes_it(self, digest: bytes, algorithm: hashes.HashAlgorithm) -> tuple[int, bytes]:
        """Hash identifier and digest.

        A TPM checks that the digest has the length of its hash and knows few hashes. ECDSA itself only sees the leftmost
        bits of the digest as a number (FIPS 186-5, 6.4.1), so any digest becomes one as long as the curve's own hash by
        cutting it on the right or filling it with zeros on the left.
        """
        own, length = {
            256: (TPM2_ALG.SHA256, 32),
            384: (TPM2_ALG.SHA384, 48),
        }.get(self.key_size, (TPM2_ALG.SHA512, 64))
        fixed = self._area.scheme_hash
        if fixed is None or fixed == int(own):
            return own, digest[:length].rjust(length, b"\0")
        if int(HASHES.get(algorithm.name, -1)) != fixed:
            self._unsupported(f"ECDSA with {algorithm.name}")
        return fixed, digest

    def _agree(self, peer: ec.EllipticCurvePublicKey) -> bytes:
        if not self._area.attributes["decrypt"]:
            self._unsupported("ECDH (the key was made without the attribute decrypt)")
        size = (self.key_size + 7) // 8
        numbers = peer.public_numbers()
        point = TPM2B_ECC_POINT(
            point=TPMS_ECC_POINT(x=numbers.x.to_bytes(size, "big"), y=numbers.y.to_bytes(size, "big"))
        )

        def agree(esys: ESAPI, handle: Handle) -> bytes:
            answer = esys.ecdh_zgen(handle, point)
            try:
                return bytes(answer.point.x)
            finally:
                wipe(answer)
                wipe_answer(esys)

        return self._held.use("agree", agree).rjust(size, b"\0")


def _number(value: Any) -> int:
    return int.from_bytes(bytes(value), "big")
