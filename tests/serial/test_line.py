"""Lines over real ptys, sockets and RFC 2217."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from device_sdk.errors import ConfigurationError, LineError, LineInUseError, LineSilentError
from device_sdk.model.secret import Secret
from device_sdk.transports.serial import LineSettings, open_line
from device_sdk.transports.serial.allowance import BURST
from device_sdk.transports.serial.exclusive import check_lock_file, in_use
from tests.serial.conftest import FarEnd
from tests.serial.rfc2217_server import Rfc2217Server


def soon(seconds: float = 30) -> float:
    return time.monotonic() + seconds


def read_all(line, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += line.read(soon()) or pytest.fail("nothing came")
    return data


def test_reads_and_writes_a_pty(far_end: FarEnd) -> None:
    with open_line(far_end.path) as line:
        line.write(b"to the device\x00\xff\r", soon())
        assert far_end.hear() == b"to the device\x00\xff\r"
        far_end.say(b"to the station\x00\xff\n\r\x11\x13")
        assert read_all(line, 20) == b"to the station\x00\xff\n\r\x11\x13"
        assert line.read(time.monotonic() + 0.01) == b""


def test_the_far_end_goes_away_while_it_is_waited_for(far_end: FarEnd) -> None:
    with open_line(far_end.path) as line:
        far_end.say(b"last words")
        threading.Timer(0.1, far_end.hang_up).start()
        began = time.monotonic()
        assert line.read(soon(200)) == b"last words"
        with pytest.raises(LineError, match="has gone") as error:
            line.read(soon(200))
        assert time.monotonic() - began < 100
        assert error.value.line == far_end.path
        assert error.value.excerpt == "last words"
        with pytest.raises(LineError, match="has gone"):
            line.write(b"x", soon())


def test_a_far_end_that_takes_nothing(far_end: FarEnd) -> None:
    with open_line(far_end.path) as line, pytest.raises(LineSilentError, match="and no more"):
        line.write(b"x" * 1_000_000, soon(0.2))


def test_a_large_write_arrives_whole(far_end: FarEnd) -> None:
    data = os.urandom(100_000)
    got = bytearray()

    def take() -> None:
        while len(got) < len(data):
            got.extend(far_end.hear())

    reader = threading.Thread(target=take)
    with open_line(far_end.path) as line:
        reader.start()
        line.write(data, soon(100))
        reader.join(100)
    assert bytes(got) == data


def test_cancel_ends_a_read_of_another_thread(far_end: FarEnd) -> None:
    with open_line(far_end.path) as line:
        threading.Timer(0.1, line.cancel).start()
        with pytest.raises(LineError, match="stopped"):
            line.read(soon(200))


def test_a_second_opener_in_this_process_is_told(far_end: FarEnd) -> None:
    with open_line(far_end.path), pytest.raises(LineInUseError, match="this very process"):
        open_line(far_end.path)
    open_line(far_end.path).close()


def test_another_process_is_named(far_end: FarEnd) -> None:
    program = f"import serial, sys; p = serial.Serial({far_end.path!r}, exclusive=True); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(LineInUseError, match=rf"process {holder.pid} \(python"):
            open_line(far_end.path)
        holder.kill()
    open_line(far_end.path).close()


def test_a_lock_file_of_a_living_program_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_sdk.transports.serial.exclusive._LOCK_DIRECTORIES", (str(tmp_path),))
    lock = tmp_path / "LCK..ttyS99"
    lock.write_text(f"{os.getppid():10d}\n")
    with pytest.raises(LineInUseError, match=f"process {os.getppid()} "):
        check_lock_file("/dev/ttyS99")
    lock.write_text("4194399\n")  # above any pid that there can be
    check_lock_file("/dev/ttyS99")


def test_nobody_known_is_said_so() -> None:
    assert "another program" in str(in_use("/dev/no-such-line"))


@pytest.mark.parametrize("url", ["nosuch://x", "socket://127.0.0.1", "socket://127.0.0.1:1?x=1"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises((ConfigurationError, LineError)):
        open_line(url)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LineError, match="plugged in"):
        open_line(str(tmp_path / "ttyUSB0"))
    plain = tmp_path / "file"
    plain.write_bytes(b"")
    with pytest.raises(LineError, match=r"cannot be opened: .* \(it is no serial port\)"):
        open_line(str(plain))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # pyserial's own
def test_a_port_that_speaks_no_rfc_2217() -> None:
    """A port of plain TCP, which takes the negotiation for typing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(LineError, match=r"does not negotiate as RFC 2217 says \(.*socket://") as caught:
            open_line(f"rfc2217://127.0.0.1:{port}?timeout=0.2")
    assert "REQUESTED" not in str(caught.value)
    with pytest.raises(LineError, match="nobody listens there"):
        open_line(f"rfc2217://127.0.0.1:{port}")


def test_a_baud_rate_that_is_none(far_end: FarEnd) -> None:
    with pytest.raises((ConfigurationError, LineError)):
        open_line(far_end.path, LineSettings(baud=-1))


def test_a_line_over_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        with open_line(url) as line:
            far, _ = server.accept()
            with far:
                data = os.urandom(200_000)
                threading.Thread(target=far.sendall, args=(data,)).start()
                reads = []
                while sum(map(len, reads)) < len(data):
                    reads.append(line.read(soon()))
                assert b"".join(reads) == data
                assert len(reads) < len(data) / 100, "not byte by byte"
                line.write(b"hello", soon())
                assert far.recv(100) == b"hello"
                with pytest.raises(LineInUseError, match="this very process"):
                    open_line(url)
            with pytest.raises(LineError, match="has gone"):
                line.read(soon())
    with pytest.raises(LineError, match="cannot be opened"):
        open_line(url)


def test_loop() -> None:
    with open_line("loop://") as line:
        line.write(b"round", soon())
        assert read_all(line, 5) == b"round"
        assert line.read(time.monotonic() + 0.01) == b""
        line.cancel()
        with pytest.raises(LineError, match="stopped"):
            line.read(soon())
    with pytest.raises(LineError, match="closed"):
        line.read(soon())


def test_idle_lines_cost_nothing() -> None:
    """64 lines that wait take no processor time."""
    ends, lines = [], []
    try:
        for _ in range(64):
            master, slave = os.openpty()
            ends += [master, slave]
            lines.append(open_line(os.ttyname(slave)))
        threads = [threading.Thread(target=line.read, args=(soon(1.5),)) for line in lines]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        before = time.process_time()
        for thread in threads:
            thread.join()
        assert time.process_time() - before < 0.4, "who waits takes no processor time"
    finally:
        for line in lines:
            line.close()
        for end in ends:
            os.close(end)


def test_excerpt_is_printable_bounded_and_without_the_password(far_end: FarEnd) -> None:
    with open_line(far_end.path) as line:
        line.hide(Secret("open sesame 42"))
        shown = (
            b"\x1b[2J\x1b]0;title\x07login: root\r\nPassword: open\x08 sesame\r\n 42\r\nbad \xe2\x80\xae\x00\xff\r\n"
        )
        far_end.say(shown)
        read_all(line, len(shown))
        assert line.excerpt() == "login: root\nPassword: ***\nbad \ufffd\n"
        far_end.say(b"again open ses")
        read_all(line, 14)
        assert line.excerpt().endswith("again ***")
        for _ in range(200):
            far_end.say(b"<b>x</b>" * 50)
            read_all(line, 400)
        assert len(line.excerpt()) <= 2000
        assert "characters before]" in line.excerpt()
        assert "sesame" not in line.excerpt()


def test_a_flood_is_read_no_faster_than_a_line_would_bring_it() -> None:
    """A socket has no baud rate: whoever floods it would have all the time of a station with many lines."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = LineSettings(at_most=10_000)
        with open_line(f"socket://127.0.0.1:{listener.getsockname()[1]}", settings) as line:
            begun = time.monotonic()
            sender, _ = listener.accept()
            flood = threading.Thread(target=_flood, args=(sender,))
            flood.start()
            size = 0
            while size < BURST + 3000:
                size += len(line.read(soon()))
            assert size <= BURST + 10_000 * (time.monotonic() - begun)
        flood.join()


def _flood(sender: socket.socket) -> None:
    with sender, contextlib.suppress(OSError):
        while True:
            sender.sendall(b"~" * 65536)


def test_a_connection_that_was_reset_leaves_nothing_open() -> None:
    """pyserial forgets such a socket; a station that opens its lines for weeks would run out of them."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = open_line(f"socket://127.0.0.1:{server.getsockname()[1]}")
        there, _ = server.accept()
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        there.close()
        with pytest.raises(LineError, match="has gone"):
            line.read(soon())
        line.close()
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # pyserial's own
def test_a_line_of_a_console_server() -> None:
    server = Rfc2217Server()
    with open_line(server.url, LineSettings(baud=57600)) as line:
        data = bytes(range(256)) * 4
        line.write(data, soon())
        assert read_all(line, len(data)) == data
        assert server.baud == 57600
        assert line.read(time.monotonic() + 0.01) == b""
        server.hang_up()
        with pytest.raises(LineError, match="has gone"):
            line.read(soon())


def test_cancel_of_a_closed_line_writes_into_nobody_elses_file(far_end: FarEnd, tmp_path: Path) -> None:
    """The numbers of its descriptors are given to whatever is opened next; a watchdog may come a moment late."""
    line = open_line(far_end.path)
    line.close()
    files = [(tmp_path / str(number)).open("wb") for number in range(16)]
    line.cancel()
    for file in files:
        file.close()
    assert {path.read_bytes() for path in tmp_path.iterdir() if path.name.isdigit()} == {b""}
