"""What keys and certificates in a PKCS#12 file are encrypted with: PBES2 with AES; 3DES where that is allowed (B-05)."""

from __future__ import annotations

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.padding import PKCS7

from device_sdk.wire.cms import oids
from device_sdk.wire.cms.content import EncryptedContent
from device_sdk.wire.cms.reader import Reader
from device_sdk.wire.pkcs12.derivation import FOR_IV, FOR_KEY, Derivations, LegacyError

_PBES2 = "1.2.840.113549.1.5.13"
_SHA1_3DES = "1.2.840.113549.1.12.1.3"
_OLD = {f"1.2.840.113549.1.12.1.{last}": "RC4, RC2 or 3DES" for last in range(1, 7)} | {
    f"1.2.840.113549.1.5.{last}": "DES or RC2" for last in (1, 3, 4, 6, 10, 11)
}


def decrypt(algorithm: Reader, ciphertext: bytes, derivations: Derivations) -> bytes:
    """The plaintext of something behind the password.

    Args:
        algorithm: its AlgorithmIdentifier, standing at the object identifier.
        ciphertext: whole blocks.
        derivations: makes the key.

    Raises:
        ValueError: an algorithm that is not taken, parameters that do not fit, or a key that does not decrypt it.
    """
    name = algorithm.oid()
    if name == _PBES2:
        plaintext = _pbes2(algorithm.enter(), ciphertext, derivations)
    elif name == _SHA1_3DES and derivations.policy.allow_legacy:
        plaintext = _triple_des(algorithm.enter(), ciphertext, derivations)
    elif name in _OLD:
        raise LegacyError(f"it is encrypted with {_OLD[name]}")
    else:
        raise ValueError("an encryption that is not known")
    if plaintext is None:
        raise ValueError("something in it does not decrypt")
    return plaintext


def _pbes2(parameters: Reader, ciphertext: bytes, derivations: Derivations) -> bytes | None:
    derivation, scheme = parameters.enter(), parameters.enter()
    parameters.finish()
    cipher = oids.CIPHERS.get(scheme.oid())
    if cipher is None or cipher.mode != "cbc":
        raise LegacyError("it is encrypted with something else than AES-CBC")
    vector = scheme.octets()
    if len(vector) != 16 or not ciphertext or len(ciphertext) % 16:
        raise ValueError("not whole blocks")
    key = derivations.pbkdf2(derivation, cipher.key_bytes)
    return EncryptedContent(cipher, vector, ciphertext).decrypt(key)


def _triple_des(parameters: Reader, ciphertext: bytes, derivations: Derivations) -> bytes | None:
    salt, iterations = parameters.octets(), parameters.integer()
    if not ciphertext or len(ciphertext) % 8:
        raise ValueError("not whole blocks")
    key = derivations.pkcs12("sha1", salt, iterations, FOR_KEY, 24)
    vector = derivations.pkcs12("sha1", salt, iterations, FOR_IV, 8)
    decryptor, unpadder = Cipher(TripleDES(key), modes.CBC(vector)).decryptor(), PKCS7(64).unpadder()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    try:
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        return None
