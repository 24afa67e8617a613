"""Which algorithms a message may use before a key of ours touches it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from device_sdk.errors import ConfigurationError

AEAD_CONTENTS = (
    "aes-256-gcm",
    "aes-128-gcm",
    "chacha20-poly1305",
    "aes-192-gcm",
    "aes-256-ccm",
    "aes-128-ccm",
    "aes-192-ccm",
)
CBC_CONTENTS = ("aes-256-cbc", "aes-128-cbc", "aes-192-cbc")
RSA_METHODS = (
    "rsa-oaep-sha256",
    "rsa-oaep-sha384",
    "rsa-oaep-sha512",
    "rsa-oaep-sha1",
    "rsa-oaep-sha224",
    "rsa-pkcs1",
)
ECDH_METHODS = ("ecdh-sha256", "ecdh-sha384", "ecdh-sha512", "ecdh-sha224", "ecdh-sha1")
KEY_WRAPS = ("aes-256-wrap", "aes-128-wrap", "aes-192-wrap")
PADDED_WRAPS = ("aes-256-wrap-pad", "aes-128-wrap-pad", "aes-192-wrap-pad")
"""AES key wrap with padding (RFC 5649), around content keys and around contents that are keys themselves (RFC 6160)."""

ALGORITHMS = (*AEAD_CONTENTS, *CBC_CONTENTS, *RSA_METHODS, *ECDH_METHODS, *KEY_WRAPS)
"""Every name that messages use, what is preferred first; key packages have PADDED_WRAPS besides."""


@dataclass(frozen=True)
class DecryptionPolicy:
    """The algorithms that are accepted; whatever is not named is refused like a message for somebody else.

    A message is accepted if everything it uses is: the cipher of its content, and the method its content key is
    encrypted with. "rsa-oaep-HASH" stands for a hash in OAEP, for the label as well as for MGF1; "ecdh-HASH" for the
    X9.63 KDF with that hash, together with a key wrap.

    Attributes:
        algorithms: names out of ALGORITHMS and PADDED_WRAPS, what is preferred first; by default all of ALGORITHMS. 3DES,
            RC2 and all others are never accepted.

    Raises:
        ConfigurationError: a name that is in neither, or no cipher for the content at all.
    """

    algorithms: tuple[str, ...] = ALGORITHMS

    def __post_init__(self) -> None:
        unknown = sorted(set(self.algorithms) - {*ALGORITHMS, *PADDED_WRAPS})
        if unknown:
            raise ConfigurationError(f"no such algorithm: {', '.join(unknown)}", hint=f"one of {', '.join(ALGORITHMS)}")
        if not set(self.algorithms) & {*AEAD_CONTENTS, *CBC_CONTENTS}:
            raise ConfigurationError("a policy without a cipher for the content accepts nothing")

    def allows(self, *names: str) -> bool:
        """Whether all of these are accepted."""
        return all(name in self.algorithms for name in names)

    def without(self, names: Iterable[str]) -> DecryptionPolicy:
        """The same policy less these; ConfigurationError as the constructor."""
        refused = frozenset(names)
        return DecryptionPolicy(tuple(name for name in self.algorithms if name not in refused))

    def within(self, agreed: Collection[str] | None) -> DecryptionPolicy:
        """The same policy less what is not among these; as it is for None. ConfigurationError as the constructor."""
        return self if agreed is None else self.without(frozenset(self.algorithms) - frozenset(agreed))


EVERYTHING = DecryptionPolicy()
"""Whatever the SDK can open; what the CALE draft uses is among it."""

AUTHENTICATED = EVERYTHING.without(CBC_CONTENTS)
"""Authenticated content only: an altered message does not open."""

HARDENED = AUTHENTICATED.without(("rsa-pkcs1", "rsa-oaep-sha1", "rsa-oaep-sha224", "ecdh-sha1", "ecdh-sha224"))
"""Neither AES-CBC nor PKCS#1 v1.5 nor SHA-1."""

KEY_PACKAGES = DecryptionPolicy((*PADDED_WRAPS, *HARDENED.algorithms, *CBC_CONTENTS))
"""For packages of symmetric keys (RFC 6033, RFC 6160): neither PKCS#1 v1.5 nor SHA-1 (AMB-21)."""
