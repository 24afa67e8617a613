"""A run as a bad day in the lab leaves it in the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_sdk.station.ledger import Ledger
from device_sdk.station.report import Report, collect

HOSTILE = '"><img src=x onerror=alert(1)>'
EXCERPT = "root@router:~# <script>alert(1)</script>\n</pre><iframe src='http://127.0.0.1:9/'>"
ABOUT = {
    "station": "bench-a",
    "operator": "Ana <b>Ruß</b>",
    "profile": "router",
    "profile_version": "3",
    "mode": "relay",
}
MADE = "2026-11-21T12:00:00.000Z"


def bad_day(place: Path) -> None:
    """40 devices, of which some fail, one is mended, one is left, one is hostile; the station is killed once."""
    now = [1_790_000_000.0]
    with Ledger.open(place, clock=lambda: now[0]) as ledger:
        ledger.append("run-started", run="run-0", facts={"station": "other"})
        ledger.append("run-started", run="run-1", facts=ABOUT)
        for number in range(40):
            now[0] += 6
            name = HOSTILE if number == 7 else f"SN-{number:04}"
            claim = ledger.claim(
                name, "bench-a", "run-1", 600, line=f"/dev/ttyUSB{number % 8}", facts={"model": "Router 7"}
            )
            if number in (3, 11, 12):
                step = "after:$\\frac{$" if number == 3 else "install"
                facts = {"reason": "nothing came in 30 s", "excerpt": EXCERPT, "elapsed_s": 31.0}
                ledger.append("failed", claim=claim, step=step, outcome="line-silent", facts=facts)
            elif number != 20:
                facts = {"certificate_sha256": f"{number:064x}", "elapsed_s": 4.0 + number % 3, "key_uri": "tpm2:"}
                ledger.append("provisioned", claim=claim, outcome="done", facts=facts)
            if number == 20:
                ledger.release_all("bench-a", "run-1")
                ledger.append("run-started", run="run-1", outcome="resumed", facts=ABOUT)
            else:
                ledger.release(claim)
        mended = ledger.claim("SN-0012", "bench-a", "run-1", 600)
        ledger.append("provisioned", claim=mended, facts={"certificate_sha256": "c" * 64, "elapsed_s": 5.0})
        ledger.release(mended)
        facts = {"reason": "no prompt", "serial_number": "SN-0099"}
        ledger.append("failed", line="/dev/ttyUSB9", run="run-1", step="open", facts=facts)
        ledger.append("run-ended", run="run-1", outcome="done", facts={"known": 2})


@pytest.fixture(scope="session")
def bad_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report") / "ledger.sqlite"
    bad_day(place)
    return place


@pytest.fixture(scope="session")
def report(bad_ledger: Path) -> Report:
    with Ledger.open(bad_ledger, read_only=True) as ledger:
        return collect(ledger, "run-1", MADE)
