"""The report says what the ledger says, prints on A4, fetches nothing, and runs nothing that a device said."""

from __future__ import annotations

import base64
import shutil
import socket
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from device_sdk.errors import ConfigurationError, LedgerError, MissingDependencyError
from device_sdk.station.ledger import Ledger
from device_sdk.station.report import Report, collect, html, pdf
from tests.station.ledger.test_chain import off, tamper
from tests.station.report.conftest import EXCERPT, HOSTILE, MADE

LOOKS = Path(__file__).parents[3] / "build" / "looks"
"""What a test run leaves for a person, or a browser, to look at."""


def test_what_it_says(report: Report) -> None:
    assert [report.count(outcome) for outcome in ("provisioned", "failed", "left")] == [37, 2, 1]
    assert (report.known, report.reason, report.ended is not None) == (2, "done", True)
    assert report.failed_steps() == [("install", 2), ("after:$\\frac{$", 1), ("open", 1)]
    assert [one.serial_number for one in report.failures if one.mended] == ["SN-0012"]
    assert report.failures[-1].serial_number == "SN-0099"
    assert report.about["Station"] == "bench-a"
    assert report.median_s == 5.0
    assert report.per_minute == pytest.approx(37 / 4)
    mended = next(one for one in report.devices if one.serial_number == "SN-0012")
    assert (mended.outcome, mended.claims, mended.certificate_sha256) == ("provisioned", 2, "c" * 64)


def test_what_devices_say_costs_little_time_to_print(report: Report) -> None:
    """To lay out a line takes time by the square of its length, so there are no long ones; nor are there endless failures."""
    long = "W" * 1990
    failure = replace(report.failures[0], step=long[:200], line=long[:200], reason=long, excerpt="\n" + long)
    device = replace(report.devices[0], serial_number=long[:64], model=long[:256])
    page = html(replace(report, failures=(failure,) * 600, devices=(device,)))
    assert "W" * 80 in page
    assert "W" * 81 not in page
    assert (page.count("<pre>"), page.count("<tr><td>")) == (50, 501)
    assert "600 in all" in page
    assert "the last 500" in page
    assert "in all" not in html(report)


def test_a_device_that_was_only_configured_is_said_to_have_proved_nothing(report: Report) -> None:
    devices = [one for one in report.devices if one.outcome == "provisioned"][:2]
    assert all(one.proved for one in devices)
    page = html(replace(report, devices=(devices[0], replace(devices[1], proved=False))))
    assert page.count("(configured, nothing proved)") == 1


def test_a_run_that_was_resumed_and_killed_has_not_ended(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        with pytest.raises(ConfigurationError, match="knows no run"):
            collect(ledger, None, MADE)
        ledger.append("run-started", run="run-1")
        ledger.append("run-ended", run="run-1", outcome="interrupted")
        assert collect(ledger, None, MADE).reason == "interrupted"
        ledger.append("run-started", run="run-1", outcome="resumed")
        report = collect(ledger, None, MADE)
        with pytest.raises(ConfigurationError, match="knows no run run-2"):
            collect(ledger, "run-2", MADE)
    assert (report.run, report.ended, report.devices, report.per_minute, report.median_s) == (
        "run-1",
        None,
        (),
        None,
        None,
    )
    assert "None was claimed" in html(report)


def test_a_ledger_that_was_changed_has_no_report(tmp_path: Path, bad_ledger: Path) -> None:
    place = str(shutil.copy(bad_ledger, tmp_path))
    tamper(place, *off(place), "UPDATE ledger_entries SET device = 'SN-1' WHERE number = 9")
    with Ledger.open(place) as ledger, pytest.raises(LedgerError, match="entry 9"):
        collect(ledger, "run-1", MADE)


class Page(HTMLParser):
    """Tags, attributes and text of a page, as a browser finds them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    text = html(report)
    LOOKS.mkdir(parents=True, exist_ok=True)
    (LOOKS / "report.html").write_text(text)
    return text


@pytest.mark.slow
def test_what_devices_say_is_text(page: str) -> None:
    found = Page(page)
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "iframe", "link", "object", "embed"})
    for tag, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert all(
            not value or value.startswith("data:image/svg+xml;base64,")
            for name, value in attributes.items()
            if name in ("src", "href")
        )
    assert HOSTILE in found.text
    assert EXCERPT in found.text
    assert "Ana <b>Ruß</b>" in found.text


@pytest.mark.slow
def test_the_plots_are_pictures_without_programs(page: str, report: Report) -> None:
    pictures = [values["src"] or "" for tag, values in Page(page).tags if tag == "img"]
    assert len(pictures) == 2
    for picture in pictures:
        root = ET.fromstring(base64.b64decode(picture.partition(",")[2]))  # noqa: S314  # our own
        assert not [one for one in root.iter() if one.tag.rpartition("}")[2] in ("script", "foreignObject", "image")]
    assert html(report) == page, "the same report gives the same bytes"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["http", "file"])
def test_nothing_is_fetched(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x.svg").write_text("<svg/>")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x" if kind == "http" else (tmp_path / "x.svg").as_uri()
        with pytest.raises(ConfigurationError, match="may fetch nothing"):
            pdf(f'<p style="background: url({url})">x</p>')
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2", "weasyprint"])
def test_what_is_missing_is_named(report: Report, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependencyError, match=missing) as caught:
        pdf("") if missing == "weasyprint" else html(report)
    assert "pip install 'device-sdk[" in (caught.value.hint or "")
