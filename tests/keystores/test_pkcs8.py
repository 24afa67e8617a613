"""PKCS#8 as it comes from servers: what is read, what is refused, and that no refusal shows the key (EST-202)."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyasn1.codec.der import decoder, encoder
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5958

from device_sdk.errors import KeyMaterialError, MechanismUnsupportedError
from device_sdk.keystores.pkcs8 import MAX_BYTES, load_pkcs8
from device_sdk.keystores.registry import import_key
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.model.wiping import wiping
from tests.keystores.foreign_keys import openssl, pkcs8

WHERE = "file:/somewhere"


def _der(key) -> bytes:  # type: ignore[no-untyped-def]
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _one_asymmetric_key(number: int = 0, *, version: int = 1, attributes: bool = False) -> bytes:
    """RFC 5958's form of the same key with the public half of number's, by pyasn1-alt-modules."""
    key, _ = decoder.decode(pkcs8("ec-p256"), asn1Spec=rfc5958.OneAsymmetricKey())
    key["version"] = version
    public = openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", data=pkcs8("ec-p256", number))[-65:]
    key["publicKey"] = univ.BitString(hexValue=public.hex()).subtype(implicitTag=key["publicKey"].tagSet[-1])
    if attributes:
        key["attributes"][0]["attrType"] = univ.ObjectIdentifier("1.2.840.113549.1.9.20")
        key["attributes"][0]["attrValues"][0] = univ.Any(bytes.fromhex("1e020061"))
    return bytes(encoder.encode(key))


_SLOWLY_MADE = {KeyType.RSA_3072: [pytest.mark.slow], KeyType.RSA_4096: [pytest.mark.slow]}


@pytest.mark.parametrize("kind", [pytest.param(kind.value, marks=_SLOWLY_MADE.get(kind, [])) for kind in KeyType])
def test_every_type(kind: str) -> None:
    key, key_type = load_pkcs8(Secret(pkcs8(kind)), WHERE)
    assert (key_type.value, _der(key)) == (kind, pkcs8(kind))


def test_rfc_5958_version_2_with_the_public_key() -> None:
    """The public key, and attributes, may come with it (RFC 5958 section 2)."""
    for data in (_one_asymmetric_key(), _one_asymmetric_key(attributes=True)):
        key, key_type = load_pkcs8(Secret(data), WHERE)
        assert (key_type, _der(key)) == (KeyType.EC_P256, pkcs8("ec-p256"))


BAD = {
    "nothing": lambda: b"",
    "no structure": lambda: b"\0" * 100,
    "cut": lambda: pkcs8("rsa-2048")[:-1],
    "something behind it": lambda: pkcs8("ec-p256") + b"\0",
    "PEM": lambda: openssl("pkey", "-inform", "DER", data=pkcs8("ec-p256")),
    "SEC 1": lambda: openssl("ec", "-inform", "DER", "-outform", "DER", data=pkcs8("ec-p256")),
    "PKCS#1": lambda: openssl("rsa", "-inform", "DER", "-outform", "DER", "-traditional", data=pkcs8("rsa-2048")),
    "a public key": lambda: openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", data=pkcs8("ec-p256")),
    "encrypted": lambda: openssl(
        "pkcs8", "-topk8", "-inform", "DER", "-outform", "DER", "-passout", "pass:x", data=pkcs8("ec-p256")
    ),
    "another's public key": lambda: _one_asymmetric_key(1),
    "a public key in version 1": lambda: _one_asymmetric_key(version=0),
    "version 3": lambda: _one_asymmetric_key(version=2),
    "another's point inside": lambda: pkcs8("ec-p256")[:-64] + pkcs8("ec-p256", 1)[-64:],
    "a damaged modulus": lambda: (
        pkcs8("rsa-2048")[:100] + bytes([pkcs8("rsa-2048")[100] ^ 4]) + pkcs8("rsa-2048")[101:]
    ),
    "a damaged prime": lambda: pkcs8("rsa-2048")[:700] + bytes([pkcs8("rsa-2048")[700] ^ 4]) + pkcs8("rsa-2048")[701:],
    "too much": lambda: b"\x30" * (MAX_BYTES + 1),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize(
    "uri", ["file:{}/key", "tpm2:file={}/key?tcti=swtpm:path={}/none", "pkcs11:token=none;object=key"]
)
def test_est_202_bad_material_is_refused_before_anything_is_asked_of_the_keystore(
    what: str, uri: str, tmp_path: Path
) -> None:
    """No token or TPM is there at all: what is wrong with the key shows first; and no word shows the key."""
    uri = uri.format(tmp_path, tmp_path)
    data = BAD[what]()
    with pytest.raises(KeyMaterialError) as caught:
        import_key(uri, Secret(data))
    text = "".join(traceback.format_exception(caught.value)) + str(caught.value.facts())
    for start in range(0, max(len(data) - 8, 0), 8):
        assert data[start : start + 8].hex() not in text
        assert repr(data[start : start + 8])[2:-1] not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(lambda: ec.generate_private_key(ec.SECP256K1()), id="secp256k1"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP224R1()), id="P-224"),
        pytest.param(lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024), id="RSA-1024"),  # noqa: S505
        pytest.param(lambda: rsa.generate_private_key(public_exponent=65537, key_size=2056), id="RSA-2056"),
        pytest.param(ed25519.Ed25519PrivateKey.generate, id="Ed25519"),
    ],
)
def test_keys_that_are_not_handled(key, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MechanismUnsupportedError, match=r"P-256, P-384, P-521 and RSA 2048"):
        import_key(f"file:{tmp_path}/key.pem", Secret(_der(key())))
    assert list(tmp_path.iterdir()) == []


def test_buffers_are_wiped_however_it_ends() -> None:
    one, two = bytearray(b"secret"), bytearray(b"key")
    with pytest.raises(ZeroDivisionError), wiping(one, two):
        raise ZeroDivisionError
    assert (one, two) == (bytearray(6), bytearray(3))
