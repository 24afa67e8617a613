"""Fingerprints a person compares or configures: parsing, and matching against a CA certificate (EST-71, EST-76)."""

from __future__ import annotations

import hashlib
import hmac
import re

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.errors import ConfigurationError
from device_sdk.model.trust import Pin

_BYTES = {"sha256": 32, "sha512": 64}
_FORM = re.compile(r"(?:(?P<name>[a-z0-9-]+)(?:\s+fingerprint)?\s*[:=])?(?P<digits>[0-9a-f:\s]+)")


def parse_pin(text: str) -> Pin:
    """A pin out of "sha256:HEX", "sha512:HEX" or bare hex; colons, spaces and either case are fine.

    `openssl x509 -fingerprint -sha256` prints "sha256 Fingerprint=AB:CD:...", which is accepted as it is.

    Raises:
        ConfigurationError: another form or length, or a hash that is no longer safe (SHA-1, MD5).
    """
    form = _FORM.fullmatch(text.strip().lower())
    if form is None:
        raise ConfigurationError(f"{text[:80]!r} is not a fingerprint; write it as sha256: and 64 hex digits")
    name = (form["name"] or "").replace("-", "")
    digits = re.sub(r"[:\s]", "", form["digits"])
    # "ab:cd:..." without a name: the first pair of digits was read as one.
    if re.fullmatch(r"[0-9a-f]{2}", name):
        name, digits = "", name + digits
    return Pin(_algorithm(name, digits), bytes.fromhex(digits))


def matches(pin: Pin, certificate: x509.Certificate) -> bool:
    """Whether the pin is the hash of the DER certificate or of its SubjectPublicKeyInfo; compared in constant time."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    found = [
        hmac.compare_digest(hashlib.new(pin.algorithm, der).digest(), pin.digest)
        for der in (certificate.public_bytes(Encoding.DER), spki)
    ]
    return any(found)


def _algorithm(name: str, digits: str) -> str:
    """The hash a fingerprint was made with, from its name or its length."""
    if name in {"sha1", "md5"} or (not name and len(digits) in {32, 40}):
        weak = name or ("md5" if len(digits) == 32 else "sha1")
        raise ConfigurationError(f"{weak} fingerprints can be forged; give the sha256 one")
    if name and name not in _BYTES:
        raise ConfigurationError(f"a fingerprint made with {name[:20]!r}; give a sha256 or sha512 one")
    for algorithm, size in _BYTES.items():
        if len(digits) == 2 * size and name in {"", algorithm}:
            return algorithm
    wanted = f"{2 * _BYTES[name]}" if name else "64 or 128"
    raise ConfigurationError(f"the fingerprint has {len(digits)} hex digits, {name or 'sha256 or sha512'} has {wanted}")
