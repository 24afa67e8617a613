"""What a station makes of a board that does not do at its boot loader's prompt what it says."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator

import pytest
from device_sdk_simulators.serial.console.boot_loader import BootLoader

from device_sdk.client.bench.console.session import Session
from device_sdk.client.bench.console.settings import ConsoleSettings
from device_sdk.errors import LineError
from device_sdk.model.secret import Secret

SETTINGS = ConsoleSettings(boot_loader=True, boot_variables={"bootargs": "quiet"}, silence_s=30, boot_s=60)
VARIABLES = {"ethaddr": "02:00:5e:10:00:01", "serial#": "SN-1", "bootdelay": "2"}


class Stubborn(BootLoader):
    """Says nothing against it, and keeps `factory` as it is."""

    def _answer(self, name: str, rest: list[str]) -> str:
        return "" if name == "setenv" and rest[0] == "factory" else super()._answer(name, rest)


class Board:
    """A board with a boot loader and then a real shell, as the station's end of its line.

    Args:
        falls_back: after `boot` it resets itself, and nobody stops it the second time.
    """

    name = "ttyBOARD"

    def __init__(self, *, falls_back: bool = False) -> None:
        self.variables = VARIABLES | {"factory": "1"}
        self._falls_back = falls_back
        self._said = bytearray()
        self._terminal = -1
        self._system: subprocess.Popen[bytes] | None = None
        self._loader = self._start()

    def _start(self) -> BootLoader:
        loader = Stubborn(self.variables, self._said.extend, self._boot, self._boot)
        loader.begin()
        return loader

    def _boot(self) -> None:
        if self._falls_back:
            self._falls_back = False
            self.variables["bootdelay"] = "0"
            self._loader = self._start()
            self._loader.count(0)
            return
        self._said += b"Starting kernel ...\r\n"
        self._terminal, slave = pty.openpty()
        self._system = subprocess.Popen(["dash", "-i"], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)

    def read(self, deadline: float) -> bytes:
        if not self._said and self._system is None:
            time.sleep(max(0.0, min(0.05, deadline - time.monotonic())))
        elif not self._said and select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return os.read(self._terminal, 4096)
        said = bytes(self._said)
        self._said.clear()
        return said

    def write(self, data: bytes, deadline: float) -> None:
        if self._system is None:
            self._loader.hear(data)
        else:
            os.write(self._terminal, data)

    def hide(self, secret: Secret) -> None:
        raise AssertionError("nothing is asked here")

    def excerpt(self) -> str:
        return ""

    def failed(self, error: LineError) -> LineError:
        return error

    def switch_off(self) -> None:
        if self._system is not None:
            self._system.kill()
            self._system.wait()
            os.close(self._terminal)


@pytest.fixture
def boards() -> Iterator[list[Board]]:
    switched_on: list[Board] = []
    yield switched_on
    for board in switched_on:
        board.switch_off()


@pytest.mark.parametrize("falls_back", [False, True])
def test_what_was_set_counts_for_the_boot_that_follows_alone(boards: list[Board], falls_back: bool) -> None:
    boards.append(Board(falls_back=falls_back))
    session = Session(boards[0], SETTINGS)
    session.shell()
    session.close()
    expected = None if falls_back else {"ethaddr": "02:00:5e:10:00:01", "serial#": "SN-1"}
    assert session.login.boot_variables == expected


@pytest.mark.parametrize(("value", "words"), [("", "does not set factory"), ("2", "does not set factory")])
def test_a_variable_that_stays_what_it_is(boards: list[Board], value: str, words: str) -> None:
    """To be deleted, or to be another: what it says afterwards counts."""
    boards.append(Board())
    settings = ConsoleSettings(boot_loader=True, boot_variables={"factory": value}, silence_s=30, boot_s=60)
    with pytest.raises(LineError, match=words):
        Session(boards[0], settings).shell()
