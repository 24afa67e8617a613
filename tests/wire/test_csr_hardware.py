"""The CSR builder with keys that never leave a token or a TPM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_sdk.keystores.registry import create_key
from device_sdk.model.csr import CsrSpec, DeviceAttributes
from device_sdk.model.keys import KeyType
from device_sdk.wire import der
from device_sdk.wire.csr import build_csr
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.names import parse_dn
from tests.wire.judges import openssl

SPEC = CsrSpec(parse_dn("CN=hw"), device=DeviceAttributes("00:00:92:90:ee:e2", "42"))
PSS = CsrAttributes.from_bytes(der.sequence(der.oid("1.2.840.113549.1.1.10")))


@pytest.fixture(params=["pkcs11", "tpm2"])
def key_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Names a key that does not exist yet, in a fresh token or TPM."""
    if request.param == "pkcs11":
        return str(request.getfixturevalue("softhsm_token").uri_of("csr"))
    request.getfixturevalue("swtpm")
    return f"tpm2:file={tmp_path / 'csr.pem'}"


@pytest.mark.slow
@pytest.mark.parametrize("key_type", [KeyType.EC_P256, KeyType.EC_P384, KeyType.RSA_2048])
def test_a_hardware_key_signs_its_request(key_uri: str, key_type: KeyType) -> None:
    """`openssl req -verify` accepts it, and the MAC address is in it."""
    with create_key(key_uri, key_type) as key:
        signer: Any = key
        requests = [build_csr(SPEC, signer)]
        if not key_type.is_ec:
            requests.append(build_csr(SPEC, signer, wishes=PSS))
    for request in requests:
        text = openssl("req", "-inform", "DER", "-verify", "-text", "-noout", data=request)
        assert "verify OK" in text
        assert "00:00:92:90:ee:e2" in text
    assert len(requests) == 1 or "rsassaPss" in text
