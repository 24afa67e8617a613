"""Live progress: what the rows say, and that a device's words move no cursor."""

from __future__ import annotations

import io
import os
import pty
import threading

from device_sdk.station.progress import Board, LiveProgress
from device_sdk.station.run import events
from device_sdk.station.run.states import DeviceState


def told(*happened: events.Event) -> Board:
    board = Board()
    for event in happened:
        board(event)
    return board


def start(devices: int | None = 4) -> events.Event:
    return events.RunStarted(
        at=100.0, run="r", station="s", profile="p", version="1", mode="relay", steps=("key", "prove"), devices=devices
    )


def shown(board: Board, now: float = 160.0, width: int = 120) -> str:
    progress = LiveProgress(board, io.StringIO(), lambda: now)
    progress.console.width = width
    with progress.console.capture() as caught:
        progress.console.print(progress.render())
    return caught.get()


def test_a_row_for_each_line_and_the_whole() -> None:
    board = told(
        start(),
        events.LineFound(at=100, line="ttyUSB0"),
        events.DeviceChanged(at=101, line="ttyUSB0", serial_number="SN1", state=DeviceState.SEEN),
        events.StepStarted(at=102, line="ttyUSB0", serial_number="SN1", step="key"),
        events.DeviceProvisioned(at=130, line="ttyUSB0", serial_number="SN1", elapsed_s=29),
        events.DeviceFailed(
            at=130, line="ttyUSB1", serial_number=None, step="open", code="line", reason="nobody answers"
        ),
        events.Waiting(at=131, line="ttyUSB0", reason="for the next one"),
    )
    text = shown(board)
    assert "SN1" in text
    assert "open: nobody answers" in text
    assert "2 of 4: 1 provisioned, 1 failed, 1.0 a minute, 60 s left" in text
    assert board.rows["ttyUSB0"].state == "provisioned", "how it ended stays to be seen until the next device"


def test_the_next_device_begins_anew() -> None:
    board = told(
        start(None),
        events.DeviceProvisioned(at=110, line="a", serial_number="SN1", elapsed_s=5),
        events.DeviceChanged(at=120, line="a", serial_number="SN2", state=DeviceState.KEY, done=1),
    )
    row = board.rows["a"]
    assert (row.device, row.state, row.done, row.since, row.until) == ("SN2", "working", 1, 120, None)
    assert board.left_s(130) is None
    assert "1: 1 provisioned, 0 failed" in shown(board)


def test_words_of_devices_are_words() -> None:
    hostile = "\x1b[2J\x1b]0;mine\x07[red]x[/red]\r\nSECOND"
    board = told(
        start(), events.DeviceFailed(at=101, line="a", serial_number=hostile, step="key", code="x", reason=hostile)
    )
    text = shown(board, width=300)
    assert "\x1b]0" not in text
    assert "\x1b[2J" not in text
    assert "[red]x" in text
    assert "\nSECOND" not in text


def test_more_lines_than_room() -> None:
    board = told(start(), *(events.LineFound(at=1, line=f"tty{number:03}") for number in range(200)))
    board(events.DeviceFailed(at=2, line="tty150", serial_number="SN", step="key", code="x", reason="broken"))
    text = shown(board)
    assert len(text.splitlines()) < 40
    assert "broken" in text, "what failed is shown before what waits"


def test_in_a_terminal_while_threads_tell_it_things() -> None:
    ours, theirs = pty.openpty()
    seen = bytearray()

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                seen.extend(data)
        except OSError:
            pass

    reader = threading.Thread(target=read)
    reader.start()
    board = Board()
    with os.fdopen(theirs, "w") as terminal, LiveProgress(board, terminal):
        board(start())
        workers = [threading.Thread(target=_devices, args=(board, f"line{number}")) for number in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    reader.join()
    os.close(ours)
    assert b"80: 80 provisioned" in seen or b"80 of 4: 80 provisioned" in seen
    assert board.ended == 80


def _devices(board: Board, line: str) -> None:
    for number in range(10):
        serial = f"{line}-{number}"
        board(events.DeviceChanged(line=line, serial_number=serial, state=DeviceState.KEY, done=1))
        board(events.DeviceProvisioned(line=line, serial_number=serial, elapsed_s=1))


def test_a_run_that_goes_on_counts_what_it_had_and_each_device_once() -> None:
    resumed = {"provisioned": 2, "failed": 1, "known": 1}
    begun = events.RunStarted(
        at=100.0, run="r", station="s", profile="p", version="1", mode="relay", steps=("key",), devices=10, **resumed
    )
    board = told(
        begun,
        events.DeviceProvisioned(at=110, line="a", serial_number="SN1", elapsed_s=5, known=True, counted=False),
        events.DeviceFailed(
            at=110, line="b", serial_number="SN2", step="open", code="line", reason="again", counted=False
        ),
        events.DeviceProvisioned(at=160, line="a", serial_number="SN3", elapsed_s=5),
    )
    assert "5 of 10: 3 provisioned, 1 failed, 1 known, 1.0 a minute, 5 min left" in shown(board)


def test_lines_with_long_names_are_told_apart_by_their_ends() -> None:
    names = [f"/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A5028{number}-if00-port0" for number in range(2)]
    text = shown(told(start(), *(events.LineFound(at=100, line=name) for name in names)))
    assert ["A50280-if00-port0" in text, "A50281-if00-port0" in text] == [True, True]
