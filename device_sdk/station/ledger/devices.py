"""What the ledger knows of a device: its entries, folded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from device_sdk.station.ledger.entry import Entry

_PROOF = "prove"
"""The step that is a device's proof: done in every claim anew, and never kept from an earlier one."""


@dataclass
class DeviceRecord:
    """A device as its last entries leave it.

    Attributes:
        serial_number: which.
        state: "seen", "claimed" (a station works on it, or was killed while it did), "released" (left in the middle),
            "provisioned" or "failed".
        run: of its last entry that had one.
        line: where it was last.
        steps: what was done since it was first seen or provisioned anew, step to last outcome.
        facts: what was noted meanwhile, the last word of each name.
        reason: why it failed: `facts["reason"]` of the entry, or its outcome.
        claims: how many times a station took it.
        first_seen: RFC 3339.
        last_seen: RFC 3339.
        provisioned_at: RFC 3339, or None if it is not.
        provisioned_in: the run in which it was; None as before.
        proved: it has proved a certificate since it was claimed, and is provisioned by that, or is being.
        last_entry: number of its last entry.
    """

    serial_number: str
    state: str = "seen"
    run: str | None = None
    line: str | None = None
    steps: dict[str, str] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)
    reason: str | None = None
    claims: int = 0
    first_seen: str = ""
    last_seen: str = ""
    provisioned_at: str | None = None
    provisioned_in: str | None = None
    proved: bool = False
    last_entry: int = 0

    def to_json(self) -> dict[str, Any]:
        """As data."""
        return dict(vars(self))


def fold(serial_number: str, entries: Iterable[Entry]) -> DeviceRecord | None:
    """The record of a device from its entries in their order; None if there are none."""
    record = DeviceRecord(serial_number)
    for entry in entries:
        _take(record, entry)
    return record if record.last_entry else None


def fold_all(entries: Iterable[Entry]) -> Iterator[DeviceRecord]:
    """The records of all devices, from their entries sorted by device."""
    for device, group in groupby(entries, key=lambda entry: entry.device or ""):
        record = fold(device, group)
        if record is not None:
            yield record


def _take(record: DeviceRecord, entry: Entry) -> None:
    record.first_seen = record.first_seen or entry.time
    record.last_seen, record.last_entry = entry.time, entry.number
    record.line, record.run = entry.line or record.line, entry.run or record.run
    if entry.kind == "claimed":
        _claimed(record, entry)
    if entry.kind == "step" and entry.step:
        record.steps[entry.step] = entry.outcome or ""
        if entry.step == _PROOF:
            record.proved = entry.outcome == "done"
    if entry.kind not in ("note", "seen"):
        record.facts.update(entry.facts)
    if entry.kind == "provisioned":
        record.state, record.reason = "provisioned", None
        record.provisioned_at, record.provisioned_in = entry.time, entry.run
        record.proved = "certificate_sha256" in entry.facts
    elif entry.kind == "failed":
        record.state = "failed"
        _not_provisioned(record)
        record.reason = str(entry.facts.get("reason") or entry.outcome or "")
    elif entry.kind == "released" and record.state == "claimed":
        record.state = "released"


def _claimed(record: DeviceRecord, entry: Entry) -> None:
    record.claims += 1
    if entry.outcome == "again":
        record.steps, record.facts = {}, {}
    record.state, record.reason = "claimed", None
    _not_provisioned(record)


def _not_provisioned(record: DeviceRecord) -> None:
    record.provisioned_at, record.provisioned_in, record.proved = None, None, False
