"""A private token for each test, directly and through a module that fails as it is told to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.keystores.pkcs11 import forget_modules
from tests.keystores.pkcs11.faulty import FaultyModule


@pytest.fixture
def token(softhsm_token: SoftHsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """A fresh SoftHSM token; markers of refused PINs and locks stay in the test's directory."""
    monkeypatch.setenv("DEVICE_SDK_REFUSED_PINS", str(tmp_path / "refused-pins"))
    monkeypatch.setenv("DEVICE_SDK_RUNTIME_DIR", str(tmp_path / "run"))
    yield softhsm_token
    forget_modules()


@pytest.fixture(scope="session")
def faulty_library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The compiled module."""
    path = tmp_path_factory.mktemp("faulty") / "libfaulty.so"
    source = Path(__file__).with_name("faulty_module.c")
    command = ["cc", "-O1", "-Wall", "-shared", "-fPIC", "-o", str(path), str(source), "-ldl"]
    subprocess.run(command, check=True, timeout=120)
    return str(path)


@pytest.fixture
def faulty(token: SoftHsm, faulty_library: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyModule]:
    """The same token through the faulty module."""
    os.environ["FAULTY_TARGET"] = token.module_path  # read once, when the module is first loaded
    module = FaultyModule(faulty_library, token)
    yield module
    module.reset()
