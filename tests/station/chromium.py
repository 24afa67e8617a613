"""A real headless Chromium, and where pictures are left for a person to look at."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

LOOKS = Path(__file__).parents[2] / "build" / "looks"
_WORDS = (
    "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync", "window-size=1280,900",
    "disable-background-networking", "disable-component-update", "disable-dev-shm-usage",
)  # fmt: skip


@contextmanager
def chromium() -> Iterator[Chrome]:
    """One that looks up no names and asks nobody else."""
    with tempfile.TemporaryDirectory(prefix="chromium-", dir="/tmp") as profile:
        options = ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for word in (*_WORDS, f"user-data-dir={profile}"):
            options.add_argument(f"--{word}")
        os.environ["SE_OFFLINE"] = "true"
        driver = Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        driver.set_page_load_timeout(120)
        try:
            yield driver
        finally:
            driver.quit()


def picture(browser: Chrome, name: str) -> None:
    """Leave a picture of what the browser shows."""
    LOOKS.mkdir(parents=True, exist_ok=True)
    (LOOKS / name).unlink(missing_ok=True)
    assert browser.save_screenshot(str(LOOKS / name))
    assert (LOOKS / name).stat().st_size > 5000
