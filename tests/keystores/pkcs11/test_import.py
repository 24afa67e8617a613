"""A private key that was made elsewhere goes into a token and does not come out again (EST-202); pkcs11-tool judges."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.keystores.registry import import_key, list_keys, open_key
from device_sdk.keystores.trial import try_key
from device_sdk.model.keys import KeyType
from tests.keystores.foreign_keys import pkcs8, public_pem, secret
from tests.keystores.pkcs11.faulty import FaultyModule
from tests.keystores.pkcs11.tools import pkcs11_tool

TYPES = ["ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072", "rsa-4096"]


def _pem(key) -> str:  # type: ignore[no-untyped-def]
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _works(uri: str, kind: str) -> None:
    with open_key(uri, allow_imported=True) as key:
        info = key.info
        assert (info.imported, info.extractable, info.hardware, info.key_type) == (True, False, True, KeyType(kind))
        assert info.attributes["CKA_LOCAL"] is False
        assert info.attributes["CKA_SENSITIVE"] is True
        assert info.attributes["CKA_EXTRACTABLE"] is False
        assert _pem(key) == public_pem(pkcs8(kind))
        failing = {name for name, works in try_key(key) if not works}  # type: ignore[arg-type]  # EC or RSA
        assert failing == set()


@pytest.mark.parametrize("kind", TYPES)
def test_est_202_an_imported_key_works_and_says_what_it_is(token: SoftHsm, kind: str) -> None:
    uri = token.uri_of("imported")
    with import_key(uri, secret(kind)) as key:
        named = key.info.uri
        assert key.info.imported
    _works(uri, kind)
    _works(named, kind)
    (listed,) = list_keys(token.uri)
    assert listed.to_json()["imported"] is True
    said = pkcs11_tool(token, "--list-objects", "--type", "privkey")
    assert [line.split(":")[1].strip() for line in said.splitlines() if "Access:" in line] == ["sensitive"]


@pytest.mark.parametrize("kind", TYPES)
def test_est_202_a_token_that_takes_no_private_key_in_the_clear_takes_a_wrapped_one(
    faulty: FaultyModule, kind: str
) -> None:
    """C_CreateObject is refused for private keys, as modules in FIPS mode do; C_UnwrapKey does it."""
    faulty.lie("no_private_objects", 0xD1)
    with import_key(faulty.uri_of("imported"), secret(kind)):
        assert faulty.calls("C_UnwrapKey") > 0
    _works(faulty.uri_of("imported"), kind)
