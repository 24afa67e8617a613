"""One entry of the ledger, and the hash that ties it to the one before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

KINDS = frozenset({"run-started", "run-ended", "seen", "claimed", "released", "step", "provisioned", "failed", "note"})
"""What an entry can be about."""

UNPROVED = "configured"
"""Outcome of a "provisioned" entry in mode "configure": the device said that it took its configuration, and proved nothing."""

VERSION = 1
"""Of the tables and of what is hashed."""


@dataclass(frozen=True)
class Entry:
    """What happened. The hash covers all of it.

    Attributes:
        number: 1 for the first, without gaps.
        time: when, RFC 3339 in UTC with milliseconds, "2026-11-21T13:48:25.123Z".
        kind: one of KINDS.
        device: serial number of the device, or None.
        line: where the device is, or None.
        run: name of the run, or None.
        step: what was done, or None.
        outcome: how it ended, or None.
        claim: number of the entry by which the station had claimed the device; None where no claim was needed.
        facts: everything else: JSON-able, bounded, without secrets.
        previous: hash of the entry before, 64 hex digits; of the first, `genesis`.
        hash: SHA-256 of `document`, 64 hex digits.
    """

    number: int
    time: str
    kind: str
    device: str | None
    line: str | None
    run: str | None
    step: str | None
    outcome: str | None
    claim: int | None
    facts: Mapping[str, object]
    previous: str
    hash: str

    @property
    def at(self) -> datetime:
        """The time as one."""
        return datetime.fromisoformat(self.time)

    def document(self) -> dict[str, object]:
        """What is hashed: every field but the hash itself."""
        return {name: value for name, value in vars(self).items() if name != "hash"}

    def to_json(self) -> dict[str, object]:
        """As data: the document and its hash."""
        return self.document() | {"hash": self.hash}


@dataclass(frozen=True)
class Head:
    """The end of the ledger at some time; kept elsewhere, it shows later that nothing before it was changed or cut off.

    Attributes:
        ledger: the ledger's id, 32 hex digits.
        number: of the last entry; 0 where there is none.
        hash: its hash, 64 hex digits; of an empty ledger, `genesis`.
    """

    ledger: str
    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.ledger}:{self.number}:{self.hash}"


def canonical(value: object) -> str:
    """JSON in the one form that is hashed: names sorted, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(document: Mapping[str, object]) -> str:
    """SHA-256 of a document's canonical JSON, hex."""
    return hashlib.sha256(canonical(document).encode("ascii")).hexdigest()


def genesis(ledger: str) -> str:
    """What the first entry of a ledger has for a previous hash: SHA-256 over a name and the ledger's id."""
    return hashlib.sha256(f"device-sdk ledger {VERSION}\0{ledger}".encode("ascii")).hexdigest()


def time_text(at: float) -> str:
    """POSIX seconds as an entry has them."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
