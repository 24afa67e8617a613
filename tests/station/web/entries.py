"""A run as a station writes it down, so that a page has something to show."""

from __future__ import annotations

from device_sdk.station.ledger import Ledger

STEPS = ["configure", "key", "request", "issue", "install", "prove"]
ABOUT = {"profile": "board", "profile_version": "7", "mode": "relay", "operator": "Ada"}
HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


def begin(ledger: Ledger, run: str = "run-1") -> None:
    ledger.append("run-started", run=run, facts=ABOUT | {"station": "bench-3", "steps": STEPS})


def work(
    ledger: Ledger, device: str, line: str, *, steps: int, run: str = "run-1", end: str | None = None, **facts: object
) -> None:
    ledger.append("seen", device=device, line=line, run=run, facts={"model": str(facts.get("model", "router"))})
    claim = ledger.claim(device, "bench-3", run, 300, line=line, facts=ABOUT)
    for step in STEPS[:steps]:
        ledger.append("step", step=step, outcome="begun", claim=claim)
        ledger.append("step", step=step, outcome="done", claim=claim)
    if end == "failed":
        ledger.append("failed", step=STEPS[steps], outcome="line", facts=facts | {"code": "line"}, claim=claim)
    elif end:
        ledger.append(end, outcome="done", facts=facts, claim=claim)
