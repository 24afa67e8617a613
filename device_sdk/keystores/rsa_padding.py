"""RSA paddings in software, for keys whose hardware does the bare RSA operation but not this padding (RFC 8017)."""

from __future__ import annotations

import hmac
import secrets

from cryptography.hazmat.primitives import hashes

from device_sdk.errors import MechanismUnsupportedError

_DIGEST_INFO = {  # RFC 8017 section 9.2, note 1
    "sha1": "3021300906052b0e03021a05000414",
    "sha224": "302d300d06096086480165030402040500041c",
    "sha256": "3031300d060960864801650304020105000420",
    "sha384": "3041300d060960864801650304020205000430",
    "sha512": "3051300d060960864801650304020305000440",
}


def pkcs1_encode(digest: bytes, algorithm: hashes.HashAlgorithm, size: int) -> bytes:
    """EMSA-PKCS1-v1_5 (section 9.2): the block to raise to the private exponent.

    Args:
        digest: of the message.
        algorithm: the hash it was made with.
        size: length of the modulus in bytes.

    Raises:
        MechanismUnsupportedError: no DigestInfo is known for this hash.
        ValueError: the modulus is too short.
    """
    prefix = _DIGEST_INFO.get(algorithm.name)
    if prefix is None:
        raise MechanismUnsupportedError(f"PKCS#1 v1.5 with {algorithm.name} is not supported", mechanism=algorithm.name)
    info = bytes.fromhex(prefix) + digest
    if size < len(info) + 11:
        raise ValueError("the modulus is too short for this hash")
    return b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info


def pss_encode(
    digest: bytes, algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm, salt_bytes: int, modulus_bits: int
) -> bytes:
    """EMSA-PSS (section 9.1.1): the block to raise to the private exponent, as long as the modulus.

    Raises:
        ValueError: the modulus is too short for this hash and salt.
    """
    bits = modulus_bits - 1
    size = (bits + 7) // 8
    if size < len(digest) + salt_bytes + 2:
        raise ValueError("the modulus is too short for this hash and salt")
    salt = secrets.token_bytes(salt_bytes)
    hashed = _hash(algorithm, bytes(8) + digest + salt)
    block = bytes(size - salt_bytes - len(hashed) - 2) + b"\x01" + salt
    masked = bytearray(_xor(block, _mgf1(hashed, len(block), mgf)))
    masked[0] &= 0xFF >> (8 * size - bits)
    return (bytes(masked) + hashed + b"\xbc").rjust((modulus_bits + 7) // 8, b"\0")


def pkcs1_decode(block: bytes) -> bytes:
    """EME-PKCS1-v1_5 (section 7.2.2, step 3), from a block as long as the modulus.

    Everything is looked at before the one decision; what is left are nanoseconds of searching for a zero, and an exception,
    which the CMS layer treats like any other failure.

    Raises:
        ValueError: one text for every reason.
    """
    end = block.find(b"\0", 10)
    too_early = block.find(b"\0", 2, 10) + 1
    message = block[end + 1 :]
    if block[0] | (block[1] ^ 2) | too_early | (end < 0):
        raise ValueError("Decryption failed")
    return message


def oaep_decode(block: bytes, algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm) -> bytes:
    """EME-OAEP with an empty label (section 7.1.2, step 3), from a block as long as the modulus.

    Raises:
        ValueError: one text for every reason; where in the block it failed does not show.
    """
    length = algorithm.digest_size
    if len(block) < 2 * length + 2:
        raise ValueError("Decryption failed")
    masked_seed, masked_data = block[1 : 1 + length], block[1 + length :]
    seed = _xor(masked_seed, _mgf1(masked_data, length, mgf))
    data = _xor(masked_data, _mgf1(seed, len(masked_data), mgf))
    start, bad = _marker(data[length:])
    bad |= block[0] | (not hmac.compare_digest(data[:length], _hash(algorithm, b"")))
    if bad:
        raise ValueError("Decryption failed")
    return data[length + start + 1 :]


def _marker(rest: bytes) -> tuple[int, int]:
    """Where the 1 after the zeros is, and whether anything is wrong before it: 0 if nothing is.

    Every byte gets the same steps and there is one decision, at the end (RFC 8017 section 7.1.2, note: an attacker who
    learns which check failed can decrypt, as Manger showed). The limits: Python's integers and memory are not constant in
    time to the nanosecond, and the length of a good message shows. The callers add the noise of a token or TPM, and the
    CMS layer answers every failure alike.
    """
    looking, start, bad = 1, 0, 0
    for index, byte in enumerate(rest):
        is_zero = ((byte - 1) >> 8) & 1
        is_one = (((byte ^ 1) - 1) >> 8) & 1
        start |= index * (looking & is_one)
        bad |= looking & (1 ^ is_zero ^ is_one)
        looking &= 1 ^ is_one
    return start, bad | looking


def _mgf1(seed: bytes, length: int, algorithm: hashes.HashAlgorithm) -> bytes:
    """MGF1 (appendix B.2.1)."""
    blocks = -(-length // algorithm.digest_size)
    return b"".join(_hash(algorithm, seed + counter.to_bytes(4, "big")) for counter in range(blocks))[:length]


def _hash(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    hasher = hashes.Hash(algorithm)
    hasher.update(data)
    return hasher.finalize()


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
