"""`device-sdk provision report`."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pytest

from tests.cli.conftest import Cli
from tests.station.ledger.test_chain import off, tamper
from tests.station.report.conftest import bad_day


@pytest.fixture
def lab(cli: Cli) -> Cli:
    place = cli.directory / "ledger.sqlite"
    bad_day(place)
    # HOME is a new one, and a list of the machine's fonts takes seconds to make
    cli.environment |= {"DEVICE_SDK_STATION_LEDGER": str(place), "XDG_CACHE_HOME": str(Path(mpl.get_cachedir()).parent)}
    return cli


@pytest.mark.slow
def test_page_and_pdf(lab: Cli, tmp_path: Path) -> None:
    page, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    said = lab.ok("provision", "report", "--html", page, "--pdf", pdf).out.splitlines()
    assert said[0] == "run-1: 37 provisioned, 2 failed, 1 left"
    assert said[-2] == "SN-0099: open: no prompt"
    assert said[-1] == lab.ok("provision", "ledger", "head").out.strip()
    assert said[-1] in page.read_text()
    assert pdf.read_bytes().startswith(b"%PDF-")


def test_the_report_as_data(lab: Cli) -> None:
    said = lab.ok("provision", "report", "--run", "run-1", "--json").json
    assert said["counts"] == {"provisioned": 37, "failed": 2, "left": 1, "known": 2}
    assert lab.ok("provision", "report", "--run", "run-0", "--json").json["devices"] == []


def test_no_report(lab: Cli, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert "knows no run run-9" in lab.fails(13, "provision", "report", "--run", "run-9", "--html", page)
    place = lab.environment["DEVICE_SDK_STATION_LEDGER"]
    tamper(place, *off(place), "UPDATE ledger_entries SET device = 'SN-1' WHERE number = 9")
    assert "entry 9" in lab.fails(13, "provision", "report", "--html", page)
    assert not page.exists()
    assert "cannot write" in lab.fails(2, "provision", "report", "--html", tmp_path / "none" / "x")
