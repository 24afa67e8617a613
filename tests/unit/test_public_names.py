"""`import device_sdk` gives every public name, and nothing heavy before one is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import device_sdk


@pytest.mark.parametrize("name", device_sdk.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(device_sdk, name) is not None


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = device_sdk.nonsense  # type: ignore[attr-defined]  # that is the point


def test_completion_knows_names_before_their_first_use() -> None:
    """A fresh process: dir() is what an interactive shell completes from, and imports nothing."""
    code = "import sys, device_sdk; names = dir(device_sdk); print(set(device_sdk.__all__) <= set(names), 'cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True False\n"
