"""Several stations at once, and stations and databases that are killed."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from device_sdk.errors import DeviceClaimedError
from device_sdk.station.ledger import Ledger
from tests import warm
from tests.station.ledger.postgres import PostgresServer

WORKER = Path(__file__).with_name("worker.py")


def started(stack: ExitStack, place: str, *words: object) -> subprocess.Popen[str]:
    """A worker that is ready to begin; it is gone when the test is over."""
    command = [sys.executable, str(WORKER), place, *map(str, words)]
    pipe = subprocess.PIPE
    process = stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
    stack.callback(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.slow
def test_stations_share_a_ledger_and_every_device_is_provisioned_once(place: str) -> None:
    count = 12
    Ledger.open(place).close()

    def station(number: int) -> CompletedProcess[Any]:
        return warm.run([WORKER, place, f"bench-{number}", "crowd", count], input=b"go\n", text=True)

    warm.run(["-c", ""])  # what forks them is there before they all want it
    with ThreadPoolExecutor(3) as threads:
        said = list(threads.map(station, range(3)))
    assert [one.returncode for one in said] == [0, 0, 0], said
    done = [line for one in said for line in one.stdout.splitlines() if line != "ready"]
    assert sorted(done) == sorted(f"SN{number}" for number in range(count))
    with Ledger.open(place, create=False) as ledger:
        assert ledger.verify().head.number == 4 * count
        records = list(ledger.devices(run="run-1"))
        assert [(record.state, record.claims) for record in records] == [("provisioned", 1)] * count


@pytest.mark.slow
def test_a_station_is_killed_while_it_writes(place: str) -> None:
    with ExitStack() as stack:
        station = started(stack, place, "bench-1", "append")
        begin(station)
        assert station.stdout is not None
        written = [int(station.stdout.readline()) for _ in range(20)]
        station.kill()
        # not by communicate(), which passes over what readline() has read ahead
        written += [int(line) for line in station.stdout.read().split()]
        station.wait(100)
    with Ledger.open(place, create=False) as ledger:
        last = ledger.verify().head.number
        # one more may be there that nobody was told of
        assert last in (written[-1], written[-1] + 1)
        assert ledger.append("note").number == last + 1
        ledger.verify()


@pytest.mark.slow
def test_the_database_is_killed_while_a_station_writes(postgres: PostgresServer) -> None:
    place = postgres.place()
    with ExitStack() as stack:
        station = started(stack, place, "bench-1", "append")
        begin(station)
        assert station.stdout is not None
        written = [int(station.stdout.readline()) for _ in range(20)]
        postgres.kill()
        try:
            out, err = station.stdout.read(), station.stderr.read() if station.stderr else ""
            station.wait(100)
        finally:
            postgres.start()
    assert station.returncode == 13, err
    assert "the ledger cannot be written" in err
    written += [int(line) for line in out.split()]
    with Ledger.open(place, create=False) as ledger:
        last = ledger.verify().head.number
        assert last in (written[-1], written[-1] + 1)
        assert ledger.append("note").number == last + 1


def test_64_threads_share_a_ledger(place: str) -> None:
    """As the lines of a station do; each has one device, and all want one more."""
    with Ledger.open(place) as ledger, ThreadPoolExecutor(64) as threads:

        def work(number: int) -> bool:
            claim = ledger.claim(f"SN{number}", "bench-a", "run-1", 600)
            ledger.append("provisioned", claim=claim)
            try:
                ledger.claim("the one", "bench-a", "run-1", 600)
            except DeviceClaimedError:
                return False
            return True

        assert sum(threads.map(work, range(64))) == 1
        assert ledger.verify().head.number == 2 * 64 + 1


def test_a_ledger_that_was_open_goes_on_after_its_database_came_back(postgres: PostgresServer) -> None:
    with Ledger.open(postgres.place()) as ledger:
        ledger.append("note")
        postgres.kill()
        postgres.start()
        assert ledger.append("note").number == 2
        ledger.verify()
