"""Whether a connection hides a private key as well as the key deserves (RFC 7030 section 4.4, EST-190)."""

from __future__ import annotations

from device_sdk_simulators.http.messages import HttpError

_FOR_128_BITS = ("ec-p256", "rsa-2048", "rsa-3072")
"""Keys that are no stronger than AES-128 (NIST SP 800-57 part 1, table 2)."""


def require_strength(cipher: str, kind: str) -> None:
    """HttpError 400 for a key that would travel in TLS alone, by a cipher that is weaker than the key.

    Args:
        cipher: the suite's OpenSSL name.
        kind: of the key, "ec-p384" for instance.
    """
    if "128" in cipher and kind not in _FOR_128_BITS:
        raise HttpError(
            400, f"{cipher} is weaker than an {kind} key: name a key to encrypt it to, or ask for {_FOR_128_BITS[0]}"
        )
