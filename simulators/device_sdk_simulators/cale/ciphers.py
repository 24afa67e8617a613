"""From the TLS suite of a connection to the cipher of the answer (CALE-65)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SUITES = (
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
)
"""The common list (CALE-29): what the edge device speaks, by OpenSSL's names."""

_REFUSED = re.compile(r"NULL|EXP|ADH|AECDH|anon|RC4|DES|IDEA|SEED|MD5|PSK|SRP", re.IGNORECASE)
_AEAD = re.compile(r"GCM|CCM|CHACHA20", re.IGNORECASE)


@dataclass(frozen=True)
class ContentCipher:
    """AES with 16 or 32 byte keys, in CBC mode or, for AuthEnvelopedData, in GCM mode."""

    key_bytes: int
    aead: bool

    @property
    def oid(self) -> str:
        """Object identifier of the content encryption algorithm (RFC 3565, RFC 5084)."""
        arcs = {(16, False): 2, (32, False): 42, (16, True): 6, (32, True): 46}
        return f"2.16.840.1.101.3.4.1.{arcs[self.key_bytes, self.aead]}"

    @property
    def smime_type(self) -> str:
        """The smime-type parameter of a message made with it."""
        return "authEnveloped-data" if self.aead else "enveloped-data"


def content_cipher(suite: str, *, aead: bool, allowed: Sequence[str] | None = None) -> ContentCipher:
    """The cipher for a suite's OpenSSL or IANA name; ValueError for weak and unknown ones.

    Args:
        suite: "ECDHE-RSA-AES256-SHA", "TLS_AES_128_GCM_SHA256", ...; only key size and mode count.
        aead: whether AES-GCM may be used where the suite is authenticated; the draft's own samples are all CBC.
        allowed: names of the common list; None for every name that is strong enough.
    """
    name = suite.upper().replace("_", "").replace("-", "")
    if _REFUSED.search(suite) or not (allowed is None or _canonical(suite) in {_canonical(one) for one in allowed}):
        raise ValueError(f"cipher suite {suite!r} is not accepted")
    authenticated = aead and _AEAD.search(suite) is not None
    if "AES256" in name or "CHACHA20" in name:
        return ContentCipher(32, authenticated)
    if "AES128" in name:
        return ContentCipher(16, authenticated)
    raise ValueError(f"cipher suite {suite!r} is not known")


def _canonical(suite: str) -> str:
    """One name for OpenSSL's and IANA's: ECDHE-RSA-AES128-SHA is TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA."""
    name = re.sub(r"[_-]", "", suite.upper())
    name = name.removeprefix("TLS").replace("WITH", "").replace("CBC", "")
    # OpenSSL leaves the hash of ChaCha20 suites out
    return re.sub(r"(CHACHA20POLY1305)SHA256$", r"\1", name)
