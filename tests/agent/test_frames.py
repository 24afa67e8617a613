"""Frames: the examples of docs/serial-protocol.md, and what is between them."""

from __future__ import annotations

import random
import re
import tracemalloc
import zlib
from pathlib import Path

import pytest

from device_sdk.errors import WireError
from device_sdk.wire.agent.frames import Frame, FrameReader, Noise
from device_sdk.wire.agent.hello import AgentHello, StationHello
from device_sdk.wire.agent.messages import Request

DOCUMENT = (Path(__file__).parents[2] / "docs" / "serial-protocol.md").read_text()
FRAME = Frame("M", "9f3a0c21", 1, 0, b'{"a~b":{"}":1}}')


def frames(data: bytes, *, of_agent: bool = False) -> list[Frame]:
    return [found for found in FrameReader(of_agent=of_agent).feed(data) if isinstance(found, Frame)]


def noises(data: bytes, *, of_agent: bool = False) -> list[bool]:
    return [
        found.session is not None for found in FrameReader(of_agent=of_agent).feed(data) if isinstance(found, Noise)
    ]


def test_the_octets_in_the_document() -> None:
    octets = bytes.fromhex(re.search(r"```text\n((?:[0-9a-f ]+\n)+)```", DOCUMENT)[1])
    hello = Frame("H", "5a17c0de", payload=StationHello((1,), 256).to_bytes())
    assert hello.to_bytes() == octets
    assert f"`{octets.decode()}`" in DOCUMENT
    assert frames(octets) == [hello]
    assert f"{zlib.crc32(b'123456789'):08x}" == "cbf43926"
    assert "`cbf43926`" in DOCUMENT


def test_the_frames_in_the_document() -> None:
    h, m, a = re.search(r"```text\n(~0h.*~)\n(~1M.*~)\n(~1a.*~)\n```", DOCUMENT).groups()
    (hello,) = frames(h.encode(), of_agent=True)
    said = AgentHello.from_bytes(hello.payload)
    assert (said.session, said.boot, said.keepalive) == ("9f3a0c21", "3b9d51e07ac24f88", 5)
    assert Frame("h", "5a17c0de", payload=said.to_bytes()) == hello
    (begin,) = frames(m.encode())
    request = Request("r1-facts-1", "facts", {})
    assert begin.payload[70:] == request.to_bytes()
    assert Request.from_bytes(begin.payload[70:]) == request
    (acknowledged,) = frames(a.encode(), of_agent=True)
    assert acknowledged == Frame("a", said.session, 1, len(request.to_bytes()))


def test_in_any_split_and_between_messages_of_the_kernel() -> None:
    line = b"[   12.3] usb 1-1: new device\r\nlogin: " + FRAME.to_bytes() + b"\r\n# " + FRAME.to_bytes() + b"\xff\0"
    assert frames(line) == [FRAME, FRAME]
    reader = FrameReader(of_agent=False)
    found = [one for octet in line for one in reader.feed(bytes([octet]))]
    assert [one for one in found if isinstance(one, Frame)] == [FRAME, FRAME]


def test_a_delimiter_may_be_shared_or_lost() -> None:
    one = FRAME.to_bytes()
    assert frames(one + one[1:]) == [FRAME, FRAME]
    assert frames(one[:-1] + b"x" + one + one) == [FRAME, FRAME]


def test_an_echo_is_not_an_answer() -> None:
    assert frames(FRAME.to_bytes(), of_agent=True) == []
    assert noises(FRAME.to_bytes(), of_agent=True) == []


def test_every_single_changed_octet_is_seen() -> None:
    """CRC-32 finds every burst of 32 bits; what is left is that no other frame comes out."""
    line = FRAME.to_bytes()
    for at in range(len(line)):
        for bit in range(8):
            changed = bytearray(line)
            changed[at] ^= 1 << bit
            assert frames(bytes(changed)) in ([], [FRAME])


@pytest.mark.parametrize(
    "body",
    [
        b"1M9f3a0c21000100000000000",
        b"2M9f3a0c2100010000000000",
        b"0M9f3a0c2100010000000000",
        b"1H9f3a0c2100010000000000",
        b"1Z9f3a0c2100010000000000",
        b"1M9F3A0C2100010000000000",
        b"1M9f3a0c21 00100000000000",
        b"1M9f3a0c2100010000000001",
    ],
)
def test_what_has_the_right_sum_and_is_no_frame(body: bytes) -> None:
    assert frames(b"~" + body + b"%08x" % zlib.crc32(body) + b"~") == []


def test_an_escape_of_something_else_is_no_frame() -> None:
    body = b"1M9f3a0c2100010000000002}a"
    assert frames(b"~" + body + b"%08x" % zlib.crc32(body) + b"~") == []


def test_what_was_like_a_frame() -> None:
    line = FRAME.to_bytes()
    assert noises(line[:30] + b"?" + line[31:]) == [True]
    assert noises(b"~kernel: something went wrong, and it is longer than a frame~") == [False]
    assert noises(line.replace(b"M", b"m", 1)) == [False]


def test_a_frame_that_cannot_be() -> None:
    for payload in (b"\x80", b"\n", b"x" * 1025):
        with pytest.raises(WireError):
            Frame("M", "9f3a0c21", 1, 0, payload).to_bytes()


def test_the_longest_frame_is_read_and_no_longer_one() -> None:
    longest = Frame("d", "9f3a0c21", 0xFFFF, 0xFFFFFF, b"}" * 1024).to_bytes()
    assert len(longest) == 2 + 32 + 2048
    assert frames(longest, of_agent=True)
    assert noises(b"~1M" + b"0" * 2111 + b"~") == [True]


def test_a_line_without_end_costs_no_memory() -> None:
    """1 GiB without a delimiter, and 16 MiB of nothing but delimiters."""
    reader, piece = FrameReader(of_agent=True), b"A" * (1 << 24)
    tracemalloc.start()
    try:
        for _ in range(64):
            assert list(reader.feed(piece)) == []
        assert tracemalloc.get_traced_memory()[1] < 2.2 * len(piece)
    finally:
        tracemalloc.stop()
    assert list(reader.feed(b"~" * (1 << 20))) == [Noise(None)]
    assert frames(b"~" * 100 + FRAME.to_bytes()) == [FRAME]


def test_noise_gives_frames_that_were_sent_or_none() -> None:
    draw = random.Random(6)  # noqa: S311
    for _ in range(300):
        line = bytearray(FRAME.to_bytes() * 3)
        for _ in range(draw.randint(1, 12)):
            at = draw.randrange(len(line))
            line[at : at + draw.randint(0, 2)] = draw.randbytes(draw.randint(0, 2))
        assert set(frames(bytes(line))) <= {FRAME}
