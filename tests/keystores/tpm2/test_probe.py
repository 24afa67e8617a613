"""The probe says what this TPM really can do, and leaves nothing behind."""

import json

import pytest
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.keystores import registry
from device_sdk.model.keys import KeyType


@pytest.mark.slow
def test_probe_tries_everything(swtpm: Swtpm, tools, loaded) -> None:
    before = tools("tpm2_getcap", "handles-persistent")
    probe = registry.probe(f"tpm2:?tcti={swtpm.tcti}")
    assert probe.keystore == "tpm2"
    assert probe.description["manufacturer"] == "IBM"
    assert probe.description["specification"].startswith("2.0 revision 1.")
    assert set(probe.key_types) == set(KeyType) - {KeyType.RSA_4096}
    assert all(probe.operations.values())
    assert {"sign-ecdsa-sha256", "sign-pss-sha384", "decrypt-oaep-sha256", "decrypt-pkcs1", "ecdh"} <= set(
        probe.operations
    )
    assert {"decrypt-aes-128-cbc", "decrypt-aes-256-cbc"} <= set(probe.operations)
    assert probe.limits["transient_slots"] == 3
    assert probe.limits["max_auth_fail"] == 3
    assert probe.limits["persistent_free"] > 0
    assert probe.warnings == ()
    assert json.loads(json.dumps(probe.to_json()))["key_types"][0] == "ec-p256"
    assert tools("tpm2_getcap", "handles-persistent") == before
    assert loaded() == ""


@pytest.mark.slow
def test_probe_warns(swtpm: Swtpm, tools) -> None:
    """A TPM somebody prepared for other tools is told from one that is ready."""
    tools("tpm2_createprimary", "-Q", "-C", "o", "-c", "p.ctx")
    tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "p.ctx", "0x81000001")
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_createprimary", "-Q", "-C", "o", "-c", "p.ctx")
    warnings = registry.probe("tpm2:").warnings
    assert any("0x81000001" in text and "template" in text for text in warnings)
    assert any("1 of 3 object slots" in text for text in warnings)
    tools("tpm2_flushcontext", "-t")


@pytest.mark.slow
def test_probe_of_a_tpm_that_cannot_make_keys_just_now(swtpm: Swtpm, tools) -> None:
    """It still says what it is, and why nothing could be tried."""
    for _ in range(3):
        tools("tpm2_createprimary", "-Q", "-C", "o", "-c", "p.ctx")
    probe = registry.probe("tpm2:")
    assert probe.key_types == ()
    assert probe.description["manufacturer"] == "IBM"
    assert any("3 of 3 object slots" in text for text in probe.warnings)
    assert any("no free slot" in text for text in probe.warnings)
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_changeauth", "-c", "owner", "ownerpin")
    assert any("owner hierarchy has an authorisation" in text for text in registry.probe("tpm2:").warnings)
