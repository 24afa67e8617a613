from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from device_sdk.keystores.keys import DeviceKey, RsaDeviceKey
from device_sdk.keystores.registry import create_key

KEYSTORES = ("file", "pkcs11", "tpm2")


@pytest.fixture
def rsa_key_in(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], RsaDeviceKey]]:
    """rsa_key_in(keystore): a fresh RSA-2048 key in a file, a SoftHSM token or an swtpm TPM."""
    opened: list[DeviceKey] = []

    def make(keystore: str) -> RsaDeviceKey:
        if keystore == "file":
            uri = f"file:{tmp_path / 'key.pem'}"
        elif keystore == "pkcs11":
            uri = request.getfixturevalue("softhsm_token").uri_of("cale")
        else:
            request.getfixturevalue("swtpm")
            uri = "tpm2:handle=0x81000020"
        key: Any = create_key(uri, "rsa-2048")
        opened.append(key)
        assert isinstance(key, RsaDeviceKey)
        return key

    yield make
    for key in opened:
        key.close()
