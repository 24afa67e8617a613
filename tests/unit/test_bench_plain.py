"""Facts, keys and proofs as JSON, both ways; what a device sends is hostile until it is checked."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from device_sdk.client.bench.facts import BenchKey, DeviceFacts, KeyWish, Proof
from device_sdk.client.bench.plain import (
    facts_from_json,
    facts_to_json,
    key_from_json,
    key_to_json,
    proof_from_json,
    proof_to_json,
    wish_from_json,
    wish_to_json,
)
from device_sdk.client.device.bench.attestation import presentable
from device_sdk.errors import LineError
from device_sdk.keystores.places import places_for_keys
from device_sdk.model.keys import KeyType

FACTS = DeviceFacts(
    "SN-1", ("02:00:5e:10:00:01",), "Model", "1.0", 1700000000, ("tpm2:", "file:"), "ab" * 32, {"k": "v"}
)
ATTESTATION: dict[str, object] = {"keystore": "tpm2", "fixed_tpm": True, "size": 256, "ek_certificate_sha256": ["00"]}
KEY = BenchKey("tpm2:handle=0x81000010", KeyType.EC_P384, b"spki", ATTESTATION)


def carried(value: object) -> Any:
    return json.loads(json.dumps(value))


def test_there_and_back() -> None:
    assert facts_from_json(carried(facts_to_json(FACTS))) == FACTS
    assert facts_from_json(carried(facts_to_json(DeviceFacts("x")))) == DeviceFacts("x")
    assert key_from_json(carried(key_to_json(KEY))) == KEY
    assert proof_from_json(carried(proof_to_json(Proof(b"der", b"sig")))) == Proof(b"der", b"sig")
    for wish in (KeyWish("tpm2:"), KeyWish("file:x", KeyType.RSA_2048, file_allowed=True, again=True)):
        assert wish_from_json(carried(wish_to_json(wish))) == wish


@pytest.mark.parametrize(
    "changed",
    [
        {"serial_number": ""},
        {"serial_number": "x" * 65},
        {"serial_number": "a\x1b[2J"},
        {"serial_number": 1},
        {"macs": "02:00:5e:10:00:01"},
        {"macs": ["02:00:5E:10:00:01"]},
        {"macs": ["02:00:5e:10:00:01"] * 65},
        {"model": "x" * 257},
        {"model": None},
        {"clock": True},
        {"clock": 2**40},
        {"clock": 1.5},
        {"keystores": [1]},
        {"enrolled": "AB" * 32},
        {"extra": {"k": 1}},
        {"extra": {"k\n": "v"}},
        {"extra": {str(number): "" for number in range(65)}},
    ],
)
def test_facts_that_are_none(changed: dict[str, object]) -> None:
    with pytest.raises(LineError):
        facts_from_json(facts_to_json(FACTS) | changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"uri": "x" * 4097},
        {"type": "dsa"},
        {"type": None},
        {"type": []},
        {"public_key": "%"},
        {"public_key": "é"},
        {"public_key": "A" * 65540},
        {"attestation": []},
        {"attestation": {"k": None}},
        {"attestation": {"k": {"deep": 1}}},
        {"attestation": {"k": 2**63}},
        {"attestation": {"k": ["\x07"]}},
        {"attestation": {"k": "x" * 257}},
    ],
)
def test_keys_that_are_none(changed: dict[str, object]) -> None:
    with pytest.raises(LineError):
        key_from_json(key_to_json(KEY) | changed)


def test_what_is_no_object() -> None:
    for value in (None, [], "x", 1, True):
        for read in (facts_from_json, key_from_json, proof_from_json, wish_from_json):
            with pytest.raises(LineError, match="no JSON object"):
                read(value)
    with pytest.raises(LineError):
        wish_from_json({"uri": "tpm2:", "type": "ec-p256", "file_allowed": "yes"})


def test_what_makers_write_into_their_tokens_is_made_presentable() -> None:
    """Else the station would refuse the device for its token's label."""
    said = presentable({"token_label": "a\x1b[2J\n" + "b" * 300, "list": ["\0"], "sensitive": True, "size": 256})
    assert said == {"token_label": "a?[2J?" + "b" * 250, "list": ["?"], "sensitive": True, "size": 256}
    assert key_from_json(carried(key_to_json(dataclasses.replace(KEY, attestation=said)))).attestation == said


def test_where_keys_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configured place first, without object and PIN; a TPM that is named is not there twice; files are the last."""
    for name in ("DEVICE_SDK_TCTI", "TPM2TOOLS_TCTI", "TPM2OPENSSL_TCTI"):
        monkeypatch.delenv(name, raising=False)
    token = places_for_keys("pkcs11:token=lab;object=k;id=%01;type=private?pin-value=1234&module-path=/m.so")
    assert token[0] == "pkcs11:token=lab?module-path=/m.so"
    named = places_for_keys("tpm2:handle=0x81000010?tcti=swtpm:path=/s&pin-source=/p")
    assert named == ("tpm2:?tcti=swtpm:path=/s", "file:")
    monkeypatch.setenv("DEVICE_SDK_TCTI", "swtpm:path=/x")
    assert places_for_keys(None) == ("tpm2:", "file:")
    assert places_for_keys("file:/k.pem") == ("tpm2:", "file:")
    assert [one.partition(":")[0] for one in places_for_keys("pkcs11:token=a")] == ["pkcs11", "tpm2", "file"]
