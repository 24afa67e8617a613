"""Private keys as servers send them: RFC 5958, EST-195, EST-196, EST-199."""

from __future__ import annotations

import base64
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5958

from device_sdk.errors import WireError
from device_sdk.wire.key_packages.asymmetric import read_asymmetric_key_package
from device_sdk.wire.private_key import pkcs8_of, read_private_key

KEYS = {
    "ec-p256": ec.generate_private_key(ec.SECP256R1()),
    "ec-p521": ec.generate_private_key(ec.SECP521R1()),
    "rsa-2048": rsa.generate_private_key(65537, 2048),
}


def pkcs8(key, encoding: Encoding = Encoding.DER, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return key.private_bytes(encoding, form, NoEncryption())


def with_public_key(key, public: bytes | None = None, *, version: int = 1) -> rfc5958.OneAsymmetricKey:
    """OneAsymmetricKey of version 2 by pyasn1-alt-modules."""
    one = decode(pkcs8(key), asn1Spec=rfc5958.OneAsymmetricKey())[0]
    one["version"] = version
    if public is None and isinstance(key, rsa.RSAPrivateKey):
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    elif public is None:
        public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    one["publicKey"] = one["publicKey"].clone(hexValue=public.hex())
    return one


FORMS: dict[str, Callable[..., bytes]] = {
    "DER": pkcs8,
    "base64": lambda key: base64.b64encode(pkcs8(key)),
    "base64 in lines": lambda key: base64.encodebytes(pkcs8(key)).replace(b"\n", b"\r\n"),
    "PEM": lambda key: pkcs8(key, Encoding.PEM),
    "PEM with words before": lambda key: b"Here it is:\n" + pkcs8(key, Encoding.PEM),
    "PKCS#1 or SEC 1": lambda key: pkcs8(key, form=PrivateFormat.TraditionalOpenSSL),
    "PKCS#1 or SEC 1 in PEM": lambda key: pkcs8(key, Encoding.PEM, PrivateFormat.TraditionalOpenSSL),
    "with public key": lambda key: encode(with_public_key(key)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KEYS)
def test_est_195_est_199_one_key_in_every_form(kind: str, form: str) -> None:
    key = KEYS[kind]
    read = read_private_key(FORMS[form](key))
    assert pkcs8_of(read).reveal() == pkcs8(key)


def test_openssl_reads_what_comes_out(tmp_path: Path) -> None:
    for key in KEYS.values():
        file = tmp_path / "key.der"
        file.write_bytes(pkcs8_of(read_private_key(encode(with_public_key(key)))).reveal())
        words = ["openssl", "pkey", "-inform", "DER", "-in", file, "-check", "-noout"]
        done = subprocess.run(words, capture_output=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", KEYS)
def test_est_196_a_package_of_one_key(kind: str) -> None:
    """AsymmetricKeyPackage ::= SEQUENCE SIZE (1..MAX) OF OneAsymmetricKey (RFC 5958 section 2)."""
    package = rfc5958.AsymmetricKeyPackage()
    package[0] = with_public_key(KEYS[kind])
    assert pkcs8_of(read_asymmetric_key_package(encode(package)).key).reveal() == pkcs8(KEYS[kind])
    assert pkcs8_of(read_asymmetric_key_package(pkcs8(KEYS[kind])).key).reveal() == pkcs8(KEYS[kind])
    package[1] = with_public_key(KEYS[kind])
    with pytest.raises(WireError, match="exactly one"):
        read_asymmetric_key_package(encode(package))


ENCRYPTED = KEYS["ec-p256"].private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
ENCRYPTED_PEM = KEYS["ec-p256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
OLD_PEM = KEYS["rsa-2048"].private_bytes(
    Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"password")
)


@pytest.mark.parametrize(
    "body", [ENCRYPTED, base64.b64encode(ENCRYPTED), ENCRYPTED_PEM, OLD_PEM], ids=["DER", "base64", "PEM", "old PEM"]
)
def test_est_199_a_key_behind_a_password_is_called_so(body: bytes) -> None:
    with pytest.raises(WireError, match="encrypted with a password") as caught:
        read_private_key(body)
    assert caught.value.what == "ENCRYPTED PRIVATE KEY"


def foreign_point() -> bytes:
    return KEYS["ec-p521"].public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


BAD = {
    "empty": b"",
    "text": b"no key today",
    "a certificate request": base64.b64encode(bytes.fromhex("3003020100")),
    "another curve": pkcs8(ec.generate_private_key(ec.SECP256K1())),
    "another size": pkcs8(rsa.generate_private_key(65537, 2304)),
    "another kind": pkcs8(ed25519.Ed25519PrivateKey.generate()),
    "two blocks": 2 * pkcs8(KEYS["ec-p256"], Encoding.PEM),
    "bytes behind": pkcs8(KEYS["ec-p256"]) + b"\x05\x00",
    "another public key": encode(with_public_key(KEYS["ec-p256"], foreign_point())),
    "an unknown version": encode(with_public_key(KEYS["ec-p256"], version=1)).replace(
        b"\x02\x01\x01", b"\x02\x01\x07", 1
    ),
    "too large": b"\x30\x82\x75\x30" + bytes(30000),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_key_for_us(name: str) -> None:
    with pytest.raises(WireError) as caught:
        read_private_key(BAD[name])
    assert caught.value.what is not None


def test_a_key_whose_halves_do_not_fit() -> None:
    """A modulus of one key with the exponents of another; a point of another key in the SEC 1 structure."""
    key = pkcs8(KEYS["rsa-2048"])
    modulus = KEYS["rsa-2048"].public_key().public_numbers().n.to_bytes(256, "big")
    other = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n.to_bytes(256, "big")
    point = KEYS["ec-p256"].public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    other_point = stranger.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    for body in (key.replace(modulus, other), pkcs8(KEYS["ec-p256"]).replace(point, other_point)):
        with pytest.raises(WireError, match="fit each other"):
            read_private_key(body)


def test_est_202_errors_say_nothing_of_the_key() -> None:
    """Not in the message, and not in what hangs on it."""
    key = pkcs8(KEYS["rsa-2048"])
    damaged = base64.b64encode(key[:-40] + bytes(40))
    for body in (damaged, b"-----BEGIN PRIVATE KEY-----\n" + damaged + b"!\n-----END PRIVATE KEY-----\n"):
        with pytest.raises(WireError) as caught:
            read_private_key(body)
        told = "".join(traceback.format_exception(caught.value))
        assert damaged[40:80].decode() not in told
        assert caught.value.__context__ is None or isinstance(caught.value.__context__, WireError)
