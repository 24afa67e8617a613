"""The station page in a real Chromium: it is live, it is safe, and it works on a tablet. Pictures are in build/looks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from device_sdk.station.ledger import Ledger
from device_sdk.station.report import collect, html
from device_sdk.station.web import PageServer
from tests.station.chromium import chromium, picture
from tests.station.web.entries import HOSTILE, begin, work

pytestmark = pytest.mark.slow
LIMIT_S = 120


def shows(browser: Chrome, words: str) -> None:
    WebDriverWait(browser, LIMIT_S).until(lambda seen: words in seen.find_element(By.TAG_NAME, "body").text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as started:
        yield started


def test_the_benches_are_live(browser: Chrome, page: PageServer, ledger: Ledger) -> None:
    begin(ledger)
    work(ledger, "SN-0001", "/dev/ttyUSB0", steps=6, end="provisioned")
    browser.get(page.url)
    shows(browser, "SN-0001")
    # without loading the page again
    work(ledger, "SN-0002", "/dev/ttyUSB1", steps=3)
    shows(browser, "SN-0002")
    shows(browser, "working: request")
    reason = "/dev/ttyUSB2: nobody answers; look at the cable"
    work(ledger, "SN-0003", "/dev/ttyUSB2", steps=1, end="failed", reason=reason, excerpt="U-Boot 2023.01\n=> \n")
    shows(browser, "look at the cable")
    for number in range(4, 20):
        work(ledger, f"SN-{number:04}", f"/dev/ttyUSB{number}", steps=number % 6)
    shows(browser, "SN-0019")
    picture(browser, "station-benches.png")
    ledger.append("run-ended", run="run-1", outcome="done", facts={"provisioned": 1, "failed": 1})
    shows(browser, "ended")


def test_what_devices_say_does_nothing(browser: Chrome, page: PageServer, ledger: Ledger) -> None:
    begin(ledger)
    work(ledger, HOSTILE, HOSTILE, steps=1, end="failed", reason=HOSTILE, excerpt=HOSTILE)
    for path in ("", "failures", "run?name=run-1", "runs"):
        browser.get(page.url + path)
        shows(browser, HOSTILE if path != "runs" else "run-1")
        assert browser.title != "taken"
        assert browser.find_elements(By.TAG_NAME, "img") == []
    complaints = [one["message"] for one in browser.get_log("browser") if page.url in one["message"]]
    assert [one for one in complaints if "favicon" not in one] == []


def test_on_a_tablet(browser: Chrome, page: PageServer, ledger: Ledger) -> None:
    """Nothing is wider than the screen, and what is to be touched is large enough to be."""
    begin(ledger)
    for number in range(8):
        work(ledger, f"A-RATHER-LONG-SERIAL-NUMBER-{number:030}", f"/dev/serial/by-id/usb-{number}", steps=number % 6)
    browser.set_window_size(820, 1180)
    try:
        for path, name in (("", "benches"), ("failures", "failures"), ("run?name=run-1", "run")):
            browser.get(page.url + path)
            shows(browser, "SERIAL-NUMBER" if path != "failures" else "Failures")
            inner, whole = browser.execute_script("return [window.innerWidth, document.documentElement.scrollWidth]")
            assert whole <= inner, path
            picture(browser, f"station-tablet-{name}.png")
        for link in browser.find_elements(By.CSS_SELECTOR, "nav a, button"):
            assert link.size["height"] >= 44
    finally:
        browser.set_window_size(1280, 900)


def test_the_page_says_when_it_is_old(browser: Chrome, page: PageServer, ledger: Ledger) -> None:
    begin(ledger)
    browser.get(page.url)
    shows(browser, "run-1")
    page.__exit__(None, None, None)
    shows(browser, "may be old")


def test_a_report_in_the_browser(browser: Chrome, ledger: Ledger, tmp_path: Path) -> None:
    """As a file, with nothing fetched: plots, devices and failures are there, and nothing that a device said runs."""
    begin(ledger)
    for number in range(30):
        work(ledger, f"SN-{number:04}", f"/dev/ttyUSB{number % 8}", steps=6, end="provisioned")
    work(ledger, HOSTILE, "/dev/ttyUSB3", steps=2, end="failed", reason=HOSTILE, excerpt=HOSTILE)
    ledger.append("run-ended", run="run-1", outcome="done", facts={"provisioned": 30, "failed": 1})
    (tmp_path / "report.html").write_text(html(collect(ledger, "run-1", "2026-11-21T12:00:00.000Z")))
    browser.get((tmp_path / "report.html").as_uri())
    shows(browser, "SN-0029")
    shows(browser, HOSTILE)
    assert browser.title != "taken"
    assert browser.find_elements(By.TAG_NAME, "script") == []
    for plot in browser.find_elements(By.CSS_SELECTOR, "svg, img"):
        assert plot.size["width"] > 100
    picture(browser, "report.png")
