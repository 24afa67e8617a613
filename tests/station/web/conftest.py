from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device_sdk.station.ledger import Ledger
from device_sdk.station.web import PageServer


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        yield ledger


@pytest.fixture
def page(ledger: Ledger, tmp_path: Path) -> Iterator[PageServer]:
    """As `provision web` serves it: its own look at the ledger, which cannot write."""
    with Ledger.open(tmp_path / "ledger.sqlite", read_only=True) as reading, PageServer(reading, port=0) as page:
        yield page
