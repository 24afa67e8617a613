"""Entries for other programs: JSON lines, which can be verified without us, and CSV for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import Protocol

from device_sdk.errors import ConfigurationError
from device_sdk.station.ledger.entry import Entry, canonical

FORMS = ("csv", "jsonl")
_COLUMNS = ("number", "time", "kind", "device", "line", "run", "step", "outcome", "claim", "facts", "previous", "hash")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")  # noqa: RUF001  # spreadsheets take these, too


class Writable(Protocol):
    """What takes text."""

    def write(self, text: str, /) -> object:
        """Take some."""


def export(form: str, entries: Iterable[Entry], stream: Writable) -> int:
    """Write entries; how many there were.

    A line of JSON is the canonical form of the entry with its hash: without the name "hash" it is what was hashed.
    In CSV a cell that a spreadsheet would take for a formula begins with an apostrophe.

    Raises:
        ConfigurationError: the form is not one of FORMS.
    """
    if form not in FORMS:
        raise ConfigurationError(f"a ledger cannot be exported as {form[:40]!r}", hint="csv or jsonl")
    count = 0
    table = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    if form == "csv":
        table.writerow(_COLUMNS)
    for entry in entries:
        count += 1
        if form == "jsonl":
            stream.write(canonical(entry.to_json()) + "\n")
        else:
            values = entry.to_json() | {"facts": canonical(entry.facts)}
            table.writerow([cell(values[name]) for name in _COLUMNS])
    return count


def cell(value: object) -> str:
    """A value as a spreadsheet shows it, and never computes it."""
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    text = str(value)
    return f"'{text}" if text.lstrip(" '\"").startswith(_FORMULA) or text.startswith(_FORMULA) else text
