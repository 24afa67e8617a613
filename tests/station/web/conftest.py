from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from device_sdk.station.ledger import Ledger
from device_sdk.station.web import PageServer

ROOT = Path(__file__).parents[3]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        yield ledger


@pytest.fixture
def page(ledger: Ledger, tmp_path: Path) -> Iterator[PageServer]:
    """As `provision web` serves it: its own look at the ledger, which cannot write."""
    with Ledger.open(tmp_path / "ledger.sqlite", read_only=True) as reading, PageServer(reading, port=0) as page:
        yield page


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """A real headless Chromium that looks up no names and asks nobody else."""
    with tempfile.TemporaryDirectory(prefix="chromium-", dir="/tmp") as profile:
        options = ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
                     "disable-background-networking", "disable-component-update", "disable-dev-shm-usage",
                     f"user-data-dir={profile}", "window-size=1280,900"):  # fmt: skip
            options.add_argument(f"--{word}")
        os.environ["SE_OFFLINE"] = "true"
        driver = Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        driver.set_page_load_timeout(120)
        try:
            yield driver
        finally:
            driver.quit()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures are left for a person to look at."""
    place = ROOT / "build" / "screenshots"
    place.mkdir(parents=True, exist_ok=True)
    return place
