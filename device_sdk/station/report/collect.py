"""A report out of the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from device_sdk.errors import ConfigurationError
from device_sdk.station.ledger import Entry, LedgerReader
from device_sdk.station.report.facts import Device, Failure, Report

_OUTCOMES = {"provisioned": "provisioned", "failed": "failed", "claimed": "left", "released": "left"}
_ABOUT = (
    ("station", "Station"),
    ("operator", "Operator"),
    ("profile", "Profile"),
    ("profile_version", "Version of the profile"),
    ("profile_sha256", "SHA-256 of the profile"),
    ("mode", "Mode"),
)


def collect(ledger: LedgerReader, run: str | None, made: str) -> Report:
    """The report of a run; the ledger is verified first.

    Args:
        ledger: where it is.
        run: its name; None for the one that started last.
        made: what time it is, RFC 3339.

    Raises:
        LedgerError: the ledger is not whole, or cannot be read.
        ConfigurationError: it knows no such run.
    """
    head = ledger.verify().head
    if run is None:
        run = next((entry.run for entry in ledger.newest(1, kind="run-started")), None)
    walk = _Walk(entry for entry in ledger.entries(run=run or "") if entry.number <= head.number)
    if run is None or walk.first is None:
        named = "a run" if run is None else f"run {run}"
        raise ConfigurationError(
            f"the ledger knows no {named.removeprefix('a ')}", hint="device-sdk provision ledger show has their names"
        )
    devices = tuple(walk.devices[name] for name in sorted(walk.devices))
    mended = {device.serial_number for device in devices if device.outcome == "provisioned"}
    return Report(
        head=head,
        run=run,
        about=walk.about,
        started=walk.first.time,
        ended=walk.end.time if walk.end else None,
        reason=(walk.end.outcome or "done") if walk.end else "not ended",
        known=walk.known,
        devices=devices,
        failures=tuple(replace(one, mended=one.serial_number in mended) for one in walk.failures),
        moments=tuple(walk.moments),
        made=made,
    )


class _Walk:
    """The entries of a run, gone through once."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.first: Entry | None = None
        self.end: Entry | None = None
        self.about: dict[str, str] = {}
        self.known = 0
        self.devices: dict[str, Device] = {}
        self.failures: list[Failure] = []
        self.moments: list[tuple[float, str]] = []
        for entry in entries:
            self.first = self.first or entry
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        if entry.kind == "run-started":
            self.end = None  # it was resumed
            self.about |= {words: _text(entry, name) for name, words in _ABOUT if _text(entry, name)}
        elif entry.kind == "run-ended":
            self.end = entry
            known = entry.facts.get("known")
            self.known = known if isinstance(known, int) else 0  # of the whole run, also of one that was resumed
        if entry.device is not None and entry.claim is not None:
            self._device(entry, entry.device)
        if entry.kind in ("provisioned", "failed"):
            self.moments.append((self._minutes(entry), entry.kind))
        if entry.kind == "failed":
            self.failures.append(_failure(entry))

    def _minutes(self, entry: Entry) -> float:
        begun = datetime.fromisoformat(self.first.time) if self.first else entry.at
        return max(0.0, (entry.at - begun).total_seconds() / 60)

    def _device(self, entry: Entry, name: str) -> None:
        before = self.devices.get(name) or Device(name, "left", entry.time)
        outcome = _OUTCOMES.get(entry.kind, before.outcome)
        if entry.kind == "released" and before.outcome != "left":
            outcome = before.outcome
        elapsed_s = entry.facts.get("elapsed_s")
        ended = entry.kind in ("provisioned", "failed")
        self.devices[name] = Device(
            name,
            outcome,
            entry.time,
            line=entry.line or before.line,
            model=_text(entry, "model") or before.model,
            key_uri=_text(entry, "key_uri") or before.key_uri,
            certificate_sha256=_text(entry, "certificate_sha256") or before.certificate_sha256,
            elapsed_s=float(elapsed_s) if ended and isinstance(elapsed_s, int | float) else before.elapsed_s,
            claims=before.claims + (entry.kind == "claimed"),
            proved="certificate_sha256" in entry.facts if entry.kind == "provisioned" else before.proved,
        )


def _failure(entry: Entry) -> Failure:
    return Failure(
        at=entry.time,
        serial_number=entry.device or _text(entry, "serial_number"),
        line=entry.line or "",
        step=entry.step or _text(entry, "step"),
        reason=_text(entry, "reason") or entry.outcome or "",
        excerpt=_text(entry, "excerpt"),
    )


def _text(entry: Entry, name: str) -> str:
    value = entry.facts.get(name)
    return value if isinstance(value, str) else ""
