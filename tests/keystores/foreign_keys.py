"""Private keys that were made outside of every keystore, by OpenSSL, as PKCS#8; each is made once a test run."""

from __future__ import annotations

import subprocess
from functools import cache

from device_sdk.model.secret import Secret

_CURVES = {"ec-p256": "P-256", "ec-p384": "P-384", "ec-p521": "P-521"}


def pkcs8(key_type: str, number: int = 0) -> bytes:
    """DER PrivateKeyInfo; `number` tells keys of one type apart."""
    return _made(key_type, number)


@cache
def _made(key_type: str, _number: int) -> bytes:
    if key_type in _CURVES:
        options = ("EC", "-pkeyopt", f"ec_paramgen_curve:{_CURVES[key_type]}")
    else:
        options = ("RSA", "-pkeyopt", f"rsa_keygen_bits:{key_type.removeprefix('rsa-')}")
    return openssl("pkcs8", "-topk8", "-nocrypt", "-outform", "DER", data=openssl("genpkey", "-algorithm", *options))


def secret(key_type: str, number: int = 0) -> Secret:
    """The same as import_key takes it."""
    return Secret(pkcs8(key_type, number))


def public_pem(private: bytes) -> str:
    """Its public half, by OpenSSL."""
    return openssl("pkey", "-inform", "DER", "-pubout", data=private).decode()


def openssl(*arguments: str, data: bytes | None = None) -> bytes:
    """Run OpenSSL; its output."""
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True, timeout=120).stdout
