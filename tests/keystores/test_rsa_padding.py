"""OAEP in software: right blocks, wrong ones, and the same work for both (RFC 8017 section 7.1.2, note; Manger's attack)."""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from device_sdk.keystores import rsa_padding
from device_sdk.keystores.rsa_padding import oaep_decode

ALGORITHM, MGF = hashes.SHA256(), hashes.SHA1()  # noqa: S303  # not relied upon: any pair will do
SIZE, LENGTH = 256, 32


def block_of(data: bytes, *, first: int = 0) -> bytes:
    """A block with this data block (lHash and what follows), masked as EME-OAEP does."""
    seed = bytes(range(LENGTH))
    masked = rsa_padding._xor(data, rsa_padding._mgf1(seed, len(data), MGF))
    masked_seed = rsa_padding._xor(seed, rsa_padding._mgf1(masked, LENGTH, MGF))
    return bytes([first]) + masked_seed + masked


def data_of(padding_bytes: int, message: bytes | None = None, marker: bytes = b"\1") -> bytes:
    rest = SIZE - 1 - 2 * LENGTH - padding_bytes - len(marker)
    message = message if message is not None else b"m" * rest
    return rsa_padding._hash(ALGORITHM, b"") + bytes(padding_bytes) + marker + message


GOOD = data_of(100)
BAD = {
    "the first byte": block_of(GOOD, first=1),
    "the first byte, all bits": block_of(GOOD, first=255),
    "the label's hash, at its start": block_of(bytes([GOOD[0] ^ 1]) + GOOD[1:]),
    "the label's hash, at its end": block_of(GOOD[: LENGTH - 1] + bytes([GOOD[LENGTH - 1] ^ 1]) + GOOD[LENGTH:]),
    "the padding, at its start": block_of(GOOD[:LENGTH] + b"\2" + GOOD[LENGTH + 1 :]),
    "the padding, at its end": block_of(GOOD[: LENGTH + 99] + b"\2" + GOOD[LENGTH + 100 :]),
    "no marker": block_of(data_of(0, bytes(SIZE - 1 - 2 * LENGTH), marker=b"")),
    "no marker, and no zero": block_of(data_of(0, b"\xff" * (SIZE - 1 - 2 * LENGTH), marker=b"")),
    "everything": block_of(b"\xff" * (SIZE - 1 - LENGTH), first=255),
}


def work(block: bytes) -> tuple[str, Counter[object]]:
    """What decoding a block says, and how often which line of it ran and which function was called."""
    seen: Counter[object] = Counter()

    def traced(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename == rsa_padding.__file__:
            seen[event, frame.f_lineno] += 1
        return traced

    def profiled(frame: FrameType, event: str, argument: object) -> None:
        if event == "c_call" and frame.f_code.co_filename == rsa_padding.__file__:
            seen[event, getattr(argument, "__qualname__", "")] += 1

    said = "nothing"
    sys.settrace(traced)
    sys.setprofile(profiled)
    try:
        oaep_decode(block, ALGORITHM, MGF)
    except ValueError as error:
        said = str(error)
    finally:
        sys.settrace(None)
        sys.setprofile(None)
    return said, seen


def test_blocks_are_decoded() -> None:
    """Every length of the message, the longest and the empty one."""
    for count in range(SIZE - 1 - 2 * LENGTH):
        message = bytes(index % 3 for index in range(SIZE - 2 - 2 * LENGTH - count))
        assert oaep_decode(block_of(data_of(count, message)), ALGORITHM, MGF) == message


def test_blocks_of_cryptography_are_decoded() -> None:
    """The judge pads; the bare RSA operation is Python's."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = key.private_numbers()
    ciphertext = key.public_key().encrypt(b"hello", padding.OAEP(padding.MGF1(MGF), ALGORITHM, None))
    block = pow(int.from_bytes(ciphertext, "big"), numbers.d, numbers.public_numbers.n).to_bytes(SIZE, "big")
    assert oaep_decode(block, ALGORITHM, MGF) == b"hello"


def test_all_that_is_wrong_is_the_same_work() -> None:
    """No early exit, and no search whose end depends on what was decrypted; one text for every reason."""
    results = {name: work(block) for name, block in BAD.items()}
    first = next(iter(results.values()))
    for name, result in results.items():
        assert result == first, name
    assert first[0] == "Decryption failed"
    called = {str(name) for (event, name), _ in first[1].items() if event == "c_call"}  # type: ignore[misc]  # pairs
    assert not {word for word in called if word.endswith(("find", "index", "any", "all", "lstrip", "partition"))}


def test_a_block_too_short_for_the_hash_says_the_same() -> None:
    with pytest.raises(ValueError, match=r"^Decryption failed$"):
        oaep_decode(bytes(2 * LENGTH + 1), ALGORITHM, MGF)


PKCS1 = b"\0\2" + b"\x55" * 221 + b"\0" + b"k" * 32


def test_pkcs1_right_blocks() -> None:
    """RFC 8017 section 7.2.2: PS of eight octets or more; M of any length."""
    assert rsa_padding.pkcs1_decode(PKCS1) == b"k" * 32
    assert rsa_padding.pkcs1_decode(b"\0\2" + b"\1" * 8 + b"\0" + bytes(245)) == bytes(245)
    assert rsa_padding.pkcs1_decode(b"\0\2" + b"\1" * 253 + b"\0") == b""


@pytest.mark.parametrize(
    "block",
    [
        b"\1" + PKCS1[1:],
        b"\0\1" + PKCS1[2:],
        b"\0\0" + PKCS1[2:],
        b"\0\3" + PKCS1[2:],
        b"\0\2" + b"\x55" * 254,
        b"\0\2" + b"\x55" * 7 + b"\0" + b"\x55" * 246,
        b"\0\2\0" + b"\x55" * 253,
        b"\0\2" + b"\x55" * 7 + b"\0\0" + b"\x55" * 245,
        bytes(256),
        b"\xff" * 256,
    ],
    ids=lambda block: block[:12].hex(),
)
def test_pkcs1_wrong_blocks_have_one_error(block: bytes) -> None:
    with pytest.raises(ValueError, match=r"^Decryption failed$"):
        rsa_padding.pkcs1_decode(block)
