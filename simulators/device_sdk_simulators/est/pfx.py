"""PKCS#12 files (RFC 7292): PBES2 with AES-256, and a MAC of the password; by RFC 9579 if policy says so."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES, serialize_key_and_certificates
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc7292, rfc8018

from device_sdk_simulators.ca.keys import CaKey

_ROUNDS = 20_000
_MAC_BYTES = 32


def make_pfx(
    key: CaKey,
    certificate: x509.Certificate,
    others: Sequence[x509.Certificate],
    password: bytes,
    *,
    mac: str,
    rounds: int = _ROUNDS,
) -> bytes:
    """DER of a file with one key.

    Args:
        key: the key.
        certificate: its certificate.
        others: certificates that go along.
        password: UTF-8.
        mac: "hmac-sha256" or "pbmac1".
        rounds: iterations of every derivation.
    """
    builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(rounds)
    encryption = builder.key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC).hmac_hash(hashes.SHA256()).build(password)
    # where a fault gives another key, the certificate is one of the others: no library writes it as that key's
    own = certificate if key.public_key() == certificate.public_key() else None
    also = [*others] if own is not None else [certificate, *others]
    made = serialize_key_and_certificates(None, key, own, also, encryption)
    return with_pbmac1(made, password, rounds) if mac == "pbmac1" else made


def with_pbmac1(pfx: bytes, password: bytes, rounds: int, *, key_bytes: int | None = _MAC_BYTES) -> bytes:
    """The same with the MAC of RFC 9579: HMAC-SHA-256 with a key by PBKDF2, whose length the parameters name."""
    file = decode(pfx, asn1Spec=rfc7292.PFX())[0]
    content = bytes(decode(bytes(file["authSafe"]["content"]))[0])
    salt = os.urandom(16)
    derivation = rfc8018.PBKDF2_params()
    derivation["salt"]["specified"] = salt
    derivation["iterationCount"] = rounds
    if key_bytes is not None:
        derivation["keyLength"] = key_bytes
    derivation["prf"]["algorithm"] = rfc8018.id_hmacWithSHA256
    derivation["prf"]["parameters"] = univ.Null("")
    parameters = rfc8018.PBMAC1_params()
    parameters["keyDerivationFunc"]["algorithm"] = rfc8018.id_PBKDF2
    parameters["keyDerivationFunc"]["parameters"] = derivation
    parameters["messageAuthScheme"]["algorithm"] = rfc8018.id_hmacWithSHA256
    parameters["messageAuthScheme"]["parameters"] = univ.Null("")
    mac_key = hashlib.pbkdf2_hmac("sha256", password, salt, rounds, key_bytes or _MAC_BYTES)
    data = rfc7292.MacData()
    data["mac"]["digestAlgorithm"]["algorithm"] = rfc8018.id_PBMAC1
    data["mac"]["digestAlgorithm"]["parameters"] = encode(parameters)
    data["mac"]["digest"] = hmac.digest(mac_key, content, "sha256")
    # RFC 9579 section 5: salt and iterations of the older way are there and say nothing
    data["macSalt"], data["iterations"] = b"NOT USED", 1
    file["macData"] = data
    return bytes(encode(file))
