"""A probe says what the token really can do, and leaves nothing behind."""

from __future__ import annotations

import pytest
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.keystores.registry import create_key, probe
from device_sdk.model.keys import KeyType
from tests.keystores.pkcs11.faulty import FaultyModule
from tests.keystores.pkcs11.tools import objects

COUNT_LOW, WRITE_PROTECTED = 0x10000, 0x2


@pytest.mark.slow
def test_softhsm(token: SoftHsm) -> None:
    create_key(token.uri_of("device"), "ec-p256")
    before = objects(token)
    found = probe(token.uri)
    assert objects(token) == before
    assert found.key_types == tuple(KeyType)
    assert all(found.operations.values()), found.operations
    assert {"sign-ecdsa-sha256", "ecdh", "sign-pkcs1-sha256", "sign-pss-sha256", "decrypt-pkcs1"} <= set(
        found.operations
    )
    assert "decrypt-oaep-sha256" in found.operations
    assert found.description["serial"] == token.serial
    assert found.description["model"] == "SoftHSM v2"
    assert "ECDSA" in found.description["mechanisms"].split()
    assert found.warnings == ()


@pytest.mark.slow
def test_what_does_not_work_is_said_not_believed(faulty: FaultyModule) -> None:
    """The mechanism list still promises ECDH and OAEP; the trial tells."""
    faulty.lie("refuse_mechanism", 0x1050 + 1)
    faulty.lie("set_flags", COUNT_LOW)
    found = probe(faulty.uri)
    assert found.operations["ecdh"] is False
    assert found.operations["sign-ecdsa-sha256"] is True
    assert "wrong PIN" in found.warnings[0]
    assert objects(faulty.token) == []


def test_key_types_that_cannot_be_made(faulty: FaultyModule) -> None:
    faulty.fail("C_GenerateKeyPair", 0x70, times=1000)
    found = probe(faulty.uri)
    assert found.key_types == ()
    assert found.operations == {}
    assert len(found.warnings) == len(KeyType)
    assert "ec-p256" in found.warnings[0]


@pytest.mark.slow
def test_one_type_that_fails_is_told_from_a_full_token(faulty: FaultyModule) -> None:
    """GENERAL_ERROR once, while other keys can still be made: that type cannot be, and the rest is tried."""
    faulty.fail("C_GenerateKeyPair", 0x05, times=1, after=1)
    found = probe(faulty.uri)
    assert found.key_types == tuple(kind for kind in KeyType if kind is not KeyType.EC_P384)
    assert found.warnings == ("Could not be made for a trial: ec-p384: generate ec-p384: CKR_GENERAL_ERROR (0x5).",)


@pytest.mark.parametrize("code", [0x05, 0x31])
def test_a_full_token_says_nothing_about_other_types(faulty: FaultyModule, code: int) -> None:
    faulty.fail("C_GenerateKeyPair", code, times=1000, after=1)
    found = probe(faulty.uri)
    assert found.key_types == (KeyType.EC_P256,)
    (warning,) = found.warnings
    assert "nothing is known about ec-p384, ec-p521, rsa-2048, rsa-3072, rsa-4096" in warning


@pytest.mark.slow
def test_a_token_without_session_keys_is_tried_with_token_keys(faulty: FaultyModule) -> None:
    """tpm2-pkcs11 has none; the trial keys are gone afterwards, also those of a probe that was cut off."""
    create_key(faulty.uri_of("device-sdk probe"), "ec-p256")
    faulty.lie("token_only", 1)
    found = probe(faulty.uri)
    assert KeyType.EC_P256 in found.key_types
    assert found.operations["sign-ecdsa-sha256"]
    assert objects(faulty.token) == []
