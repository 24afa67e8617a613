# ruff: noqa: T201
"""A station as a process of its own: `worker.py PLACE STATION crowd DEVICES | append`; says what it has done on stdout."""

from __future__ import annotations

import random
import sys

from device_sdk.errors import DeviceClaimedError, DeviceProvisionedError, DeviceSdkError
from device_sdk.station.ledger import Ledger


def crowd(ledger: Ledger, station: str, count: int) -> None:
    """Provision every device that nobody else has, in an order of one's own."""
    devices = [f"SN{number}" for number in range(count)]
    random.Random(station).shuffle(devices)  # noqa: S311  # the same in every run
    for device in devices:
        try:
            claim = ledger.claim(device, station, "run-1", 600)
        except (DeviceClaimedError, DeviceProvisionedError):
            continue
        ledger.append("step", claim=claim, step="key", outcome="done")
        ledger.append("provisioned", claim=claim)
        ledger.release(claim)
        print(device, flush=True)


def append(ledger: Ledger) -> None:
    """For ever; what is printed was written."""
    while True:
        print(ledger.append("note", facts={"x": "y" * 200}).number, flush=True)


def main() -> int:
    """Wait for a line on stdin, so that all begin at once."""
    place, station, what, *rest = sys.argv[1:]
    try:
        with Ledger.open(place) as ledger:
            print("ready", flush=True)
            sys.stdin.readline()
            if what == "crowd":
                crowd(ledger, station, int(rest[0]))
            else:
                append(ledger)
    except DeviceSdkError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
