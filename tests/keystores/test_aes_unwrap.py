"""AES key unwrap by single blocks: the examples of RFC 3394 and RFC 5649, and what cryptography makes of everything else."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap,
    aes_key_wrap_with_padding,
)

from device_sdk.keystores.aes_unwrap import unwrap_by_blocks

KEY = bytes(range(32))


def unwrap(wrapped: bytes, *, padded: bool, key: bytes = KEY) -> bytearray | None:
    cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305  # single blocks

    def decrypt(block: bytes) -> bytes:
        plain = cipher.decryptor()
        return plain.update(block) + plain.finalize()

    return unwrap_by_blocks(wrapped, decrypt, padded=padded)


def test_the_examples_of_the_rfcs() -> None:
    """RFC 3394 section 4.6, RFC 5649 section 6."""
    kek = bytes.fromhex("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F")
    wrapped = bytes.fromhex(
        "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"
    )  # fmt: skip
    data = bytes.fromhex("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F")
    assert unwrap(wrapped, padded=False, key=kek) == data
    kek = bytes.fromhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
    for text, plain in (
        (
            "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
            "c37b7e6492584340bed12207808941155068f738",
        ),
        ("afbeb0f07dfbf5419200f2ccb50bb24f", "466f7250617369"),
    ):
        assert unwrap(bytes.fromhex(text), padded=True, key=kek) == bytes.fromhex(plain)


@pytest.mark.parametrize("length", [*range(1, 42), 128])
def test_every_length(length: int) -> None:
    data = bytes(range(1, length + 1))
    wrapped = aes_key_wrap_with_padding(KEY, data)
    assert unwrap(wrapped, padded=True) == data
    assert unwrap(wrapped[:-1] + bytes([wrapped[-1] ^ 1]), padded=True) is None
    if length >= 16 and length % 8 == 0:
        assert unwrap(aes_key_wrap(KEY, data), padded=False) == data
        assert unwrap(aes_key_wrap(KEY, data), padded=True) is None


def sealed(check: bytes, plain: bytes) -> bytes:
    """Wrapped with any check value, as the RFCs' first steps are."""
    encryptor = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor()  # noqa: S305  # single blocks
    if len(plain) == 8:
        return encryptor.update(check + plain)
    registers = [plain[at : at + 8] for at in range(0, len(plain), 8)]
    for step in range(1, 6 * len(registers) + 1):
        at = (step - 1) % len(registers)
        block = encryptor.update(check + registers[at])
        check, registers[at] = (int.from_bytes(block[:8], "big") ^ step).to_bytes(8, "big"), block[8:]
    return check + b"".join(registers)


@pytest.mark.parametrize("words", [1, 2, 3])
def test_rfc_5649_section_3_what_the_check_value_says(words: int) -> None:
    """Every length in it, right and wrong, and padding that is not zero: as cryptography has it, to the last case."""
    full = 8 * words
    for length in range(full + 10):
        for plain in (bytes(full), b"\1" * full, b"\1" * (full - 1) + b"\0", b"\1" * (full - 7) + bytes(7)):
            for start in (b"\xa6\x59\x59\xa6", b"\xa6\x59\x59\xa7"):
                wrapped = sealed(start + length.to_bytes(4, "big"), plain)
                try:
                    right: bytes | None = aes_key_unwrap_with_padding(KEY, wrapped)
                except InvalidUnwrap:
                    right = None
                assert unwrap(wrapped, padded=True) == right, (length, plain)
    if words > 1:
        for check in (b"\xa6" * 8, b"\xa6" * 7 + b"\xa7"):
            wrapped = sealed(check, bytes(full))
            try:
                right = aes_key_unwrap(KEY, wrapped)
            except InvalidUnwrap:
                right = None
            assert unwrap(wrapped, padded=False) == right
