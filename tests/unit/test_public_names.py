"""`import device_sdk` gives every public name, and nothing heavy before one is used."""

from __future__ import annotations

import pytest

import device_sdk


@pytest.mark.parametrize("name", device_sdk.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(device_sdk, name) is not None


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = device_sdk.nonsense  # type: ignore[attr-defined]  # that is the point
