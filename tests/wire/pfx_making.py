"""PKCS#12 files for tests: what openssl and cryptography make, and what no honest tool does."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.est.pfx import make_pfx, with_pbmac1
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc7292

from tests.est.pki import pem_key

PASSWORD = "pässword 7 \N{KEY}"  # of these files only; the last character is outside of the BMP


def by_openssl(
    directory: Path,
    key: ec.EllipticCurvePrivateKey,
    certificates: Sequence[x509.Certificate],
    *options: str,
    password: str = PASSWORD,
) -> bytes:
    """`openssl pkcs12 -export` with further options; the first certificate is the key's."""
    file, secret = directory / "both.pem", directory / "password"
    file.write_bytes(pem_key(key) + b"".join(one.public_bytes(Encoding.PEM) for one in certificates))
    secret.write_text(password)
    command = ["openssl", "pkcs12", "-export", "-in", file, "-passout", f"file:{secret}", *options]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


def changed(pfx: bytes, change: Callable[[Any], Any], password: str = PASSWORD, **mac: Any) -> bytes:
    """The file with another AuthenticatedSafe, and the MAC that goes with it."""
    file = decode(pfx, asn1Spec=rfc7292.PFX())[0]
    safes = decode(bytes(decode(bytes(file["authSafe"]["content"]))[0]), asn1Spec=rfc7292.AuthenticatedSafe())[0]
    file["authSafe"]["content"] = encode(univ.OctetString(encode(change(safes) or safes)))
    return with_pbmac1(bytes(encode(file)), password.encode(), 1000, **mac)


def joined(one: bytes, other: bytes) -> bytes:
    """Both files' contents in one: two keys, for example."""

    def add(safes: Any) -> None:
        file = decode(other, asn1Spec=rfc7292.PFX())[0]
        more = decode(bytes(decode(bytes(file["authSafe"]["content"]))[0]), asn1Spec=rfc7292.AuthenticatedSafe())[0]
        for safe in more:
            safes[len(safes)] = safe

    return changed(one, add)


def usual(
    key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, *others: x509.Certificate, **options: Any
) -> bytes:
    """As the reference server makes it."""
    options = {"mac": "hmac-sha256", "rounds": 1000} | options
    return make_pfx(key, certificate, others, PASSWORD.encode(), **options)
