"""`device-sdk provision report`, in this process: what it imports takes longer than what it does."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device_sdk.cli.main import main
from tests.station.ledger.test_chain import off, tamper
from tests.station.report.conftest import HOSTILE

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def own_logging() -> Iterator[None]:
    """The command sets up logging for a process of its own; it is put back."""
    logger = logging.getLogger("device_sdk")
    before = logger.propagate, logger.level, logger.handlers[:]
    yield
    logger.propagate, logger.handlers[:] = before[0], before[2]
    logger.setLevel(before[1])


@pytest.fixture
def command(
    bad_ledger: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    own_logging: None,
) -> Command:
    """Runs it on a copy of the ledger; gives exit code, stdout and stderr."""
    monkeypatch.setenv("DEVICE_SDK_STATION_LEDGER", str(shutil.copy(bad_ledger, tmp_path)))
    monkeypatch.setenv("DEVICE_SDK_CONFIG", "/dev/null")

    def run(*words: object) -> tuple[int, str, str]:
        code = main(["provision", "report", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.slow
def test_page_and_pdf(command: Command, tmp_path: Path) -> None:
    """The PDF says what the page says, on A4, with the ledger's head at the foot of each page, and has its fonts in it."""
    code, out, err = command("--run", "run-1", "--html", tmp_path / "report.html", "--pdf", tmp_path / "report.pdf")
    assert code == 0, err
    said = out.splitlines()
    assert said[0] == "run-1: 37 provisioned, 2 failed, 1 left"
    assert said[-2] == "SN-0099: open: no prompt"
    assert said[-1] in (tmp_path / "report.html").read_text()
    told = {name: subprocess.run([name, *words], cwd=tmp_path, capture_output=True, check=True, text=True, timeout=100).stdout
            for name, words in {"pdftotext": ["-layout", "report.pdf", "-"], "pdfinfo": ["report.pdf"], "pdffonts": ["report.pdf"]}.items()}  # fmt: skip
    assert "A4" in told["pdfinfo"]
    pages = told["pdftotext"].split("\f")[:-1]
    assert len(pages) > 1
    assert all(said[-1] in one for one in pages)
    for device in json.loads(command("--run", "run-1", "--json")[1])["devices"]:
        assert device["serial_number"] in (HOSTILE, *told["pdftotext"].split())
    assert "<script>alert(1)</script>" in told["pdftotext"]
    assert all(" yes yes " in line for line in told["pdffonts"].splitlines()[2:])


def test_the_report_as_data(command: Command) -> None:
    said = json.loads(command("--json")[1])
    assert (said["run"], said["counts"]) == ("run-1", {"provisioned": 37, "failed": 2, "left": 1, "known": 2})
    assert json.loads(command("--run", "run-0", "--json")[1])["devices"] == []


def test_no_report(command: Command, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    code, _, err = command("--run", "run-9", "--html", page)
    assert (code, "knows no run run-9" in err) == (2, True)
    code, _, err = command("--html", tmp_path / "none" / "x")
    assert (code, "cannot write" in err) == (2, True)
    place = str(tmp_path / "ledger.sqlite")
    tamper(place, *off(place), "UPDATE ledger_entries SET device = 'SN-1' WHERE number = 9")
    code, _, err = command("--html", page)
    assert (code, "entry 9" in err) == (13, True)
    assert not page.exists()
