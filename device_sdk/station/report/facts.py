"""What a report is about, without any form."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from statistics import median

from device_sdk.station.ledger import Head

OUTCOMES = ("provisioned", "failed", "left")


@dataclass(frozen=True)
class Device:
    """A device in a run.

    Attributes:
        serial_number: which.
        outcome: "provisioned", "failed", or "left": in the middle of it.
        at: time of the last entry that counts, RFC 3339.
        line: where.
        model: what it says it is.
        key_uri: its key.
        certificate_sha256: of its certificate, 64 hex digits; "" where it has none.
        elapsed_s: how long it took the last time, or None.
        claims: how many times it was begun.
        proved: it is provisioned, and proved its certificate for that; without it was configured, and says so itself.
    """

    serial_number: str
    outcome: str
    at: str
    line: str = ""
    model: str = ""
    key_uri: str = ""
    certificate_sha256: str = ""
    elapsed_s: float | None = None
    claims: int = 0
    proved: bool = False


@dataclass(frozen=True)
class Failure:
    """Something that went wrong for good.

    Attributes:
        at: when, RFC 3339.
        serial_number: of the device; "" where none was known.
        line: where.
        step: at which step.
        reason: in words.
        excerpt: the end of what the line showed.
        mended: the device was provisioned after that, in the same run.
    """

    at: str
    serial_number: str
    line: str
    step: str
    reason: str
    excerpt: str
    mended: bool = False


@dataclass(frozen=True)
class Report:
    """A run.

    Attributes:
        head: of the ledger, all of which was verified for the report.
        run: its name.
        about: name to value, in the order in which they are shown: station, profile, operator and the like.
        started: RFC 3339.
        ended: RFC 3339; None while it goes on, or where the station was killed.
        reason: why it ended.
        known: devices that were left alone, as they had been provisioned before.
        devices: by serial number.
        failures: in their order.
        moments: minutes since the start, and "provisioned" or "failed", in their order.
        made: when the report was, RFC 3339.
    """

    head: Head
    run: str
    about: dict[str, str]
    started: str
    ended: str | None
    reason: str
    known: int
    devices: tuple[Device, ...]
    failures: tuple[Failure, ...]
    moments: tuple[tuple[float, str], ...]
    made: str

    def count(self, outcome: str) -> int:
        """How many devices have this outcome."""
        return sum(device.outcome == outcome for device in self.devices)

    @property
    def median_s(self) -> float | None:
        """How long a provisioned device took, in the middle; None if there was none."""
        times = [one.elapsed_s for one in self.devices if one.elapsed_s is not None and one.outcome == "provisioned"]
        return median(times) if times else None

    @property
    def per_minute(self) -> float | None:
        """Provisioned devices a minute, from the start to the last of them."""
        minutes = max((moment for moment, kind in self.moments if kind == "provisioned"), default=0.0)
        return self.count("provisioned") / minutes if minutes > 0 else None

    def failed_steps(self) -> list[tuple[str, int]]:
        """Steps at which devices failed, the most frequent first."""
        counts = Counter(failure.step or "before any step" for failure in self.failures)
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))

    def to_json(self) -> dict[str, object]:
        """As data."""
        counts = {outcome: self.count(outcome) for outcome in OUTCOMES} | {"known": self.known}
        return asdict(self) | {"head": str(self.head), "counts": counts, "failed_steps": dict(self.failed_steps())}
