"""AES key unwrap (RFC 3394, RFC 5649) for hardware that decrypts single blocks and knows nothing of key wrap."""

from __future__ import annotations

import hmac
from collections.abc import Callable

_ROUNDS = 6
_DEFAULT = b"\xa6" * 8
_PADDED = b"\xa6\x59\x59\xa6"


def unwrap_by_blocks(wrapped: bytes, decrypt: Callable[[bytes], bytes], *, padded: bool) -> bytearray | None:
    """What was wrapped; None if the check value is another.

    Args:
        wrapped: a multiple of 8 bytes, at least 24, or 16 if padded.
        decrypt: one block of 16 bytes by the bare cipher.
        padded: by RFC 5649.
    """
    check, plain = _unwound(wrapped, decrypt)
    if not padded:
        return plain if hmac.compare_digest(check, _DEFAULT) else None
    length = int.from_bytes(check[4:], "big")
    good = hmac.compare_digest(check[:4], _PADDED) and len(plain) - 8 < length <= len(plain) and not any(plain[length:])
    if not good:
        return None
    del plain[length:]
    return plain


def _unwound(wrapped: bytes, decrypt: Callable[[bytes], bytes]) -> tuple[bytes, bytearray]:
    """RFC 3394 section 2.2.2; of one block only what RFC 5649 section 4.2 says."""
    if len(wrapped) == 16:
        block = decrypt(wrapped)
        return block[:8], bytearray(block[8:])
    check, plain = wrapped[:8], bytearray(wrapped[8:])
    count = len(plain) // 8
    for step in range(_ROUNDS * count, 0, -1):
        at = 8 * ((step - 1) % count)
        mixed = (int.from_bytes(check, "big") ^ step).to_bytes(8, "big")
        block = decrypt(mixed + bytes(plain[at : at + 8]))
        check, plain[at : at + 8] = block[:8], block[8:]
    return check, plain
