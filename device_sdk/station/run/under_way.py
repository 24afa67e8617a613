"""Which run a station's directory is in the middle of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from device_sdk.errors import ConfigurationError, StateCorruptError
from device_sdk.state import files

_FILE = "run.json"


@dataclass(frozen=True)
class UnderWay:
    """A run that has not come to its end.

    Attributes:
        run: its name.
        station: of which station.
        profile: name, version and mode of its profile.
        ledger: id of the ledger in which it is written down.
        devices: how many devices it is for; None for any number.
        stopped: somebody stopped it before there were so many; otherwise it was killed, or goes on.
    """

    run: str
    station: str
    profile: str
    ledger: str
    devices: int | None
    stopped: bool = False

    def goes_on_as(self, asked: UnderWay) -> bool:
        """Whether the run that is asked for is this one: a killed one always, a stopped one by the same command.

        Raises:
            ConfigurationError: it was killed, and what it did stands in another ledger.
        """
        if self.stopped:
            return (self.profile, self.ledger, self.devices) == (asked.profile, asked.ledger, asked.devices)
        if self.ledger != asked.ledger:
            raise ConfigurationError(
                f"run {self.run} of this station was broken off, and stands in another ledger ({self.ledger})",
                hint="give that ledger, and it goes on; or another --directory",
            )
        return True


def load(directory: Path) -> UnderWay | None:
    """What was written down, None for nothing.

    Raises:
        StateCorruptError: it is not that.
        StateError: it cannot be read.
    """
    path = directory / _FILE
    data = files.read(path)
    if data is None:
        return None
    try:
        found = json.loads(data)
        devices = found["devices"]
        return UnderWay(
            str(found["run"]),
            str(found["station"]),
            str(found["profile"]),
            str(found["ledger"]),
            None if devices is None else int(devices),
            found["stopped"] is True,
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StateCorruptError(f"{path}: cannot be read", hint="remove it", path=str(path)) from error


def begin(directory: Path, run: UnderWay) -> None:
    """Write down that it is under way; raises StateNotWritableError."""
    files.write(directory / _FILE, json.dumps(asdict(run)).encode())


def stop(directory: Path, run: UnderWay) -> None:
    """Write down that it was stopped, and may go on; raises StateNotWritableError."""
    begin(directory, replace(run, stopped=True))


def end(directory: Path) -> None:
    """None is under way; raises StateNotWritableError."""
    files.remove(directory / _FILE)
