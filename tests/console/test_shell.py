"""A login, scripts and files on consoles with real shells."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from device_sdk.client.bench.console.session import Session
from device_sdk.client.bench.console.settings import ConsoleSettings
from device_sdk.errors import LineError, LineSilentError, LoginRefusedError
from device_sdk.model.secret import Secret
from device_sdk.transports.serial import Line, open_line
from tests.console.conftest import PASSWORD, SHELLS, USER, Console

SETTINGS = ConsoleSettings(user=USER, password=lambda: Secret(PASSWORD), silence_s=40, answer_s=40)

MakeConsole = Callable[..., Console]


@contextmanager
def session_on(console: Console, settings: ConsoleSettings = SETTINGS) -> Iterator[tuple[Session, Line]]:
    with open_line(console.path) as line:
        session = Session(line, replace(settings, temporary=str(console.password_file.parent)))
        yield session, line
        session.close()


@pytest.mark.slow
@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_login_script_files_logout(make_console: MakeConsole, shell: str) -> None:
    console = make_console(shell)
    data = os.urandom(5000)
    with open_line(console.path) as line:
        session = Session(line, SETTINGS)
        assert session.do(lambda it: it.run("(exit 7)")) == 7
        assert session.do(lambda it: it.run("cat; echo '$?' \"`pwd`\"")) == 0, "standard input is not the console"
        session.do(lambda it: it.put("$t/x", data))
        assert session.do(lambda it: it.get("$t/x", 5000)) == data
        session.do(lambda it: it.put("$t/empty", b""))
        assert session.do(lambda it: it.get("$t/empty", 0)) == b""
        assert session.do(lambda it: it.run('[ "$(stat -c %a $t $t/x | tr "\\n" " ")" = "700 600 " ]')) == 0
        assert session.do(lambda it: it.run("echo $t >/dev/tty")) == 0
        directory = re.search(r"/tmp/device-sdk-bench\.[0-9a-f]{8}", session.talk.text)
        assert directory is not None
        with pytest.raises(LineError, match="an answer of 5000 bytes"):
            session.do(lambda it: it.get("$t/x", 4999))
        with pytest.raises(LineError, match="cannot be measured"):
            session.do(lambda it: it.get("$t/none", 100))
        session.close()
        assert line.excerpt().endswith("login: "), "the next person finds a login prompt"
        assert PASSWORD not in line.excerpt()
    assert not Path(directory[0]).exists()
    assert console.cable.to_device.decode().count(PASSWORD) == 1


@pytest.mark.slow
def test_a_line_with_noise(make_console: MakeConsole) -> None:
    """One bit in a thousand bytes flipped in both directions: everything arrives, and nothing is done twice."""
    console = make_console("dash")
    data = os.urandom(1500)
    with session_on(console) as (session, _):
        session.shell()
        console.cable.noise = 1e-3
        assert session.do(lambda it: it.run("echo x >>$t/count")) == 0
        session.do(lambda it: it.put("$t/x", data))
        assert session.do(lambda it: it.get("$t/x", 5000)) == data
        assert session.do(lambda it: it.get("$t/count", 100)) == b"x\n"
        console.cable.noise = 0


def test_a_refused_password_is_typed_once(make_console: MakeConsole) -> None:
    console = make_console()
    wrong = "not the right one"
    with session_on(console, replace(SETTINGS, password=lambda: Secret(wrong))) as (session, line):
        for _ in range(2):
            with pytest.raises(LoginRefusedError, match="not tried again") as error:
                session.shell()
        assert wrong not in str(error.value.excerpt)
        assert error.value.line == line.name
    assert console.refused == [USER]
    assert console.cable.to_device.count(wrong.encode()) == 1


def test_a_password_that_is_asked_for_and_not_there(make_console: MakeConsole) -> None:
    console = make_console()
    with (
        session_on(console, replace(SETTINGS, password=None)) as (session, _),
        pytest.raises(LoginRefusedError, match="has none"),
    ):
        session.shell()


def test_a_user_that_is_asked_for_and_not_there(make_console: MakeConsole) -> None:
    console = make_console()
    with (
        session_on(console, ConsoleSettings()) as (session, _),
        pytest.raises(LoginRefusedError, match="names no user"),
    ):
        session.shell()


@pytest.mark.slow
def test_no_password_and_a_shell_that_is_open_already(make_console: MakeConsole) -> None:
    console = make_console("dash", password=None)
    with open_line(console.path) as line:
        assert Session(line, SETTINGS).do(lambda it: it.run("true")) == 0
    # the station dies here, and another one comes
    with session_on(console) as (session, _):
        assert session.do(lambda it: it.run("true")) == 0
    assert console.cable.to_device.count(b"\n" + USER.encode() + b"\r") <= 1


@pytest.mark.slow
def test_a_shell_that_dies_in_the_middle(make_console: MakeConsole) -> None:
    console = make_console("dash")
    with session_on(console) as (session, _):
        first = session.shell()
        assert session.do(lambda it: it.run("kill -9 $PPID $$" if it is first else "(exit 3)")) == 3
    assert console.cable.to_device.decode().count(PASSWORD) == 2


@pytest.mark.slow
def test_kernel_messages_between_and_in_lines(make_console: MakeConsole) -> None:
    console = make_console("dash")
    with session_on(console) as (session, _):
        session.shell()
        message = b"[   12.345678] usb 1-1: new high-speed USB device number 2 using xhci_hcd\r\n"
        state = {"next": 5}

        def noisy(data: bytes) -> bytes:
            state["next"] -= 1
            if state["next"] == 0:
                state["next"] = 3
                return data[: len(data) // 2] + message + data[len(data) // 2 :]
            return data

        console.cable.spoil = noisy
        data = os.urandom(1000)
        session.do(lambda it: it.put("$t/x", data))
        assert session.do(lambda it: it.get("$t/x", 1000)) == data
        console.cable.spoil = lambda data: data


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (b"", "nothing came: power, cable, baud rate|nothing came"),
        (bytes(range(128, 256)), "no text"),
        (b"42 bottles of beer on the wall\r\n", "something else"),
        (b"\x1b]0;" + b"x" * 2000, "something else"),
    ],
)
def test_a_console_without_a_prompt(make_console: MakeConsole, shown: bytes, words: str) -> None:
    console = make_console()
    console.cable.spoil = lambda data: shown if data else b""
    with session_on(console, replace(SETTINGS, silence_s=1, boot_s=2)) as (session, _):
        with pytest.raises(LineSilentError, match=words) as error:
            session.shell()
        assert error.value.timeout_s in {1, 2}


@pytest.mark.slow
def test_a_console_that_never_stops(make_console: MakeConsole) -> None:
    """Endless output without a line's end: given up, with memory bounded."""
    console = make_console()
    flood = b"yes please " * 6000

    def endless(_: bytes) -> bytes:
        return flood

    console.cable.spoil = endless
    with session_on(console, replace(SETTINGS, silence_s=1, boot_s=1)) as (session, _):
        with pytest.raises(LineSilentError):
            session.shell()
        assert len(session.talk.text) <= 32 * 1024


@pytest.mark.slow
def test_the_cable_is_pulled(make_console: MakeConsole) -> None:
    console = make_console("dash")
    with session_on(console) as (session, _):
        session.shell()
        console.hang_up()
        with pytest.raises(LineError, match="has gone"):
            session.do(lambda it: it.run("true"))
