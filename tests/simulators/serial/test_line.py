"""Lines: what they do to bytes, at which rate, and how they are pulled out."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import serial
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.serial.line_faults import Counts, Disturbance, KernelNoise, LineFaults
from device_sdk_simulators.serial.rfc2217 import Rfc2217Port, TelnetReader

from tests.simulators.serial.station import SilentError, Station

PATIENCE_S = 60.0


@pytest.mark.parametrize("name", ["flip", "drop", "double"])
@pytest.mark.parametrize("rate", [1e-3, 0.05, 1.0])
def test_faults_happen_at_their_rate_and_the_same_each_time(name: str, rate: float) -> None:
    data, outcomes = bytes(range(256)) * 200, []
    for size in (1, 77, len(data)):
        counts = Counts()
        way = Disturbance(LineFaults(seed=3, **{f"{name}_rate": rate}), "out", counts)
        outcomes.append(b"".join(way.apply(data[begin : begin + size]) for begin in range(0, len(data), size)))
        assert counts.faults[name] == pytest.approx(len(data) * rate, rel=0.35)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    hits = counts.faults[name]
    assert len(outcomes[0]) == len(data) + {"flip": 0, "drop": -hits, "double": hits}[name]
    if name == "flip":
        changed = [old ^ new for old, new in zip(data, outcomes[0], strict=True) if old != new]
        assert len(changed) == hits
        assert {one.bit_count() for one in changed} == {1}
    other = Disturbance(LineFaults(seed=4, **{f"{name}_rate": rate}), "out", Counts()).apply(data)
    assert (other == outcomes[0]) == (rate == 1.0 and name != "flip")


def test_the_kernel_speaks_between_lines_and_frames() -> None:
    counts = Counts()
    noise = KernelNoise(LineFaults(noise_rate=1.0), counts)
    assert noise.apply(b"no end") == b"no end"
    spoilt = noise.apply(b"one\r\ntwo\r\n~frame~~frame~")
    assert counts.faults["noise"] == 4
    assert spoilt.startswith(b"one\r\n[")
    assert b"~frame~[" in spoilt


def test_a_line_is_as_fast_as_its_rate(fleet_of: Callable[..., Fleet]) -> None:
    line = fleet_of(devices=1, baud=9600).lines()[0]
    with Station(line["url"], 9600) as station:
        station.hello()
        begin = time.monotonic()
        station.ask("configure", config=b"# " + b"x" * 1200, anchors=b"")
        assert time.monotonic() - begin > 1600 * 10 / 9600
        station.seen.clear()
        begin = time.monotonic()
        station.ask("facts")
        assert time.monotonic() - begin > len(station.seen) * 10 / 9600


@pytest.mark.parametrize("listen", ["pty", "rfc2217"])
def test_another_rate_is_garbage(listen: str, fleet_of: Callable[..., Fleet]) -> None:
    where = {} if listen == "pty" else {"listen": listen}
    fleet = fleet_of(devices=1, baud=115200, linger_s=PATIENCE_S, **where)
    line = fleet.lines()[0]
    with Station(line["url"], 9600, patience_s=0.5, resend_s=0.2) as station:
        with pytest.raises(SilentError):
            station.hello()
        assert b"version" not in station.seen
    assert fleet.report()["members"][0]["faults"]["wrong_baud"] > 0
    with Station(line["url"], 115200) as station:
        assert station.hello()["version"] == 1


def test_a_cable_that_is_pulled_is_there_again_under_its_name(fleet_of: Callable[..., Fleet], tmp_path: Path) -> None:
    fleet = fleet_of(devices=2, linger_s=PATIENCE_S)
    line = fleet.lines()[1]
    path = Path(line["url"])
    assert path.parent == tmp_path / "lines"
    before = path.readlink()
    with Station(str(path)) as station:
        session = station.hello()["session"]
        # in one go: it is back a third of a second later
        place = fleet._place(line["name"])
        assert fleet._call(lambda: (place.line.cut(), path.exists())) == (None, False)
        with pytest.raises((SilentError, OSError, serial.SerialException)):
            station.ask("facts")
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < deadline
    assert fleet.report()["members"][1]["faults"] == {"cut": 1}
    with Station(str(path)) as station:
        hello = station.hello()
        assert hello["session"] != session
        assert station.ask("facts")["serial_number"] == fleet.plan.serial_number(1)
    assert before.parent == path.readlink().parent


def test_a_device_that_nobody_finishes_makes_room_for_the_next(fleet_of: Callable[..., Fleet]) -> None:
    fleet = fleet_of(devices=2, lines=1, linger_s=0.1, swap_s=0.01, listen="tcp")
    for number in range(2):
        while (line := fleet.lines()[0])["device"] != fleet.plan.serial_number(number):
            assert not fleet.finished.is_set()
        with Station(line["url"]) as station:
            station.hello()
            station.ask("facts")
    assert fleet.wait(PATIENCE_S)
    assert fleet.report()["states"] == {"untouched": 2}


def test_a_second_station_on_a_port_is_hung_up_on(fleet_of: Callable[..., Fleet]) -> None:
    line = fleet_of(devices=1, listen="tcp").lines()[0]
    host, _, port = line["url"].removeprefix("socket://").rpartition(":")
    with Station(line["url"]) as first:
        first.hello()
        with socket.create_connection((host, int(port)), PATIENCE_S) as second:
            assert second.recv(1) == b""
        assert first.ask("facts")["model"] == "Simulated board"


def test_a_terminal_server_takes_every_octet_and_its_own_words_apart() -> None:
    said, rates, everything = bytearray(), [], bytes(range(256))
    words = b"\xff\xfd\x2c\xff\xfb\x63\xff\xfa\x2c\x01\x00\x00\x25\x80\xff\xf0\xff\xfa\x2c\x02\x08\xff\xf0"
    for size in (1, 5, 4096):
        reader = TelnetReader(said.extend, rates.append)
        said.clear()
        data = everything.replace(b"\xff", b"\xff\xff") + words + b"end"
        found = b"".join(reader.feed(data[begin : begin + size]) for begin in range(0, len(data), size))
        assert found == everything + b"end"
        assert said == (
            b"\xff\xfb\x2c\xff\xfe\x63\xff\xfa\x2c\x65\x00\x00\x25\x80\xff\xf0\xff\xfa\x2c\x6b\xb0\xff\xf0"
            b"\xff\xfa\x2c\x66\x08\xff\xf0"
        )
    assert rates == [9600] * 3
    assert Rfc2217Port()._wrap(everything) == everything + b"\xff"
    assert TelnetReader(said.extend, rates.append).feed(b"\xff\xfa" + b"x" * 100_000) == b"x" * (100_000 - 254)
