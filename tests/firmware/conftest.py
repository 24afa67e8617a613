"""One signer of firmware for all tests of a process."""

from __future__ import annotations

import pytest

from tests.firmware.making import Maker


@pytest.fixture(scope="session")
def maker() -> Maker:
    return Maker()
