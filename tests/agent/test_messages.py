"""Messages: what is one, what is not, and that a hostile one costs nothing."""

from __future__ import annotations

import pytest

from device_sdk.errors import ConfigurationError, WireError
from device_sdk.wire.agent.frames import MAX_MESSAGE
from device_sdk.wire.agent.hello import AgentHello, StationHello
from device_sdk.wire.agent.messages import Progress, Refusal, Request, Result, id_in, read_from_agent
from device_sdk.wire.agent.text import read_object, write_object
from tests.processor import require_at_most


@pytest.mark.parametrize(
    "message",
    [
        Result("a", {"csr": "MIIB", "list": [1, None, True]}),
        Refusal("a", "no-such-key", "there is none", 3, "make one"),
        Refusal("", "bad-message", "cannot be read"),
        Progress("run.1_x-2", 15, "key"),
    ],
)
def test_what_an_agent_says(message: Result | Refusal | Progress) -> None:
    assert read_from_agent(message.to_bytes()) == message


def test_text_of_any_kind_is_printable_on_the_line() -> None:
    said = {"text": "Gerät \x00\x1b[2J\x7f~}\u2028😀"}
    data = write_object(said)
    assert all(0x20 <= one <= 0x7E for one in data)
    assert read_object(data) == said


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"1",
        b'{"a":1,"a":2}',
        b'{"a":1.5}',
        b'{"a":1e5}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1234567890123456}',
        b'{"a":"\xc3\xa4"}',
        b'{"a":\n1}',
        b'{"a":"\\ud800"}',
        b'{"a":1} {}',
        b'{"a":"',
        b'{"a":"\\',
        b'{"a":' + b"[" * 8 + b"]" * 8 + b"}",
        b'{"a":[' + b"[]," * 20_000 + b"[]]}",
        b'{"a":"' + b"x" * MAX_MESSAGE + b'"}',
    ],
    ids=range(18),
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(WireError):
        read_object(data)


def test_the_deepest_message() -> None:
    assert read_object(b'{"a":' + b"[" * 7 + b"]" * 7 + b',"b":"[[[[[[[[[[{{{{{{{{{{"}')


@pytest.mark.parametrize("filler", [b"[", b'"', b'\\"', b'"\\', b"{", b'{"a":', b"1", b"-"])
def test_half_a_mebibyte_of_anything_is_refused_in_no_time(filler: bytes) -> None:
    data = b'{"a":' + filler * ((MAX_MESSAGE - 10) // len(filler))

    def read() -> None:
        with pytest.raises(WireError):
            read_object(data)

    require_at_most(2, read)


@pytest.mark.parametrize(
    "data",
    [
        b'{"op":"facts","params":{}}',
        b'{"id":"","op":"facts","params":{}}',
        b'{"id":"a b","op":"facts","params":{}}',
        b'{"id":"../x","op":"facts","params":{}}',
        b'{"id":1,"op":"facts","params":{}}',
        b'{"id":"a","op":"facts"}',
        b'{"id":"a","op":"FACTS","params":{}}',
        b'{"id":"a","op":["facts"],"params":{}}',
        b'{"id":"a","op":"facts","params":[]}',
        b'{"id":"' + b"a" * 129 + b'","op":"facts","params":{}}',
    ],
)
def test_what_is_no_request(data: bytes) -> None:
    with pytest.raises(WireError):
        Request.from_bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"id":"a"}',
        b'{"id":"a","result":[]}',
        b'{"id":"a","result":{},"error":{}}',
        b'{"id":"a","error":{"code":"x","message":"y"}}',
        b'{"id":"a","error":{"code":"x","message":"y","exit_code":true}}',
        b'{"id":"a","error":{"code":"x","message":"y","exit_code":256}}',
        b'{"id":"a","error":{"code":"X Y","message":"y","exit_code":1}}',
        b'{"id":"a","error":{"code":"x","message":5,"exit_code":1}}',
        b'{"id":"a","error":{"code":"x","message":"y","exit_code":1,"hint":[]}}',
        b'{"id":"a","progress":{}}',
        b'{"id":"a","progress":{"elapsed":-1}}',
        b'{"id":"a","progress":{"elapsed":1,"note":1}}',
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(WireError):
        read_from_agent(data)


def test_an_error_shows_nothing_that_a_terminal_obeys() -> None:
    said = write_object({"id": "a", "error": {"code": "x", "message": "\x1b[2Jno\r\n" + "y" * 5000, "exit_code": 3}})
    refusal = read_from_agent(said)
    assert isinstance(refusal, Refusal)
    assert refusal.message.startswith("[2Jno y")
    assert len(refusal.message) == 1000
    assert Refusal.of("a", ConfigurationError("x" * 3000, hint="h")).to_bytes().count(b"xx") == 500


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"versions":[]}',
        b'{"versions":[0]}',
        b'{"versions":["1"]}',
        b'{"versions":[true]}',
        b'{"versions":1}',
        b'{"versions":[1],"receive":-1}',
        b'{"versions":[1],"receive":"256"}',
        b'{"versions":[' + b"1," * 120 + b"1]}",
    ],
)
def test_what_is_no_hello(data: bytes) -> None:
    with pytest.raises(WireError):
        StationHello.from_bytes(data)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"session": "00000000"},
        {"session": "9F3A0C21"},
        {"boot": ""},
        {"keepalive": 0},
        {"keepalive": 61},
        {"sdk": "x" * 65},
        {"sdk": "\x1b"},
    ],
)
def test_what_is_no_hello_of_an_agent(change: dict[str, object]) -> None:
    hello = {"versions": [1], "version": 1, "session": "9f3a0c21", "boot": "3b9d51e07ac24f88"}
    assert AgentHello.from_bytes(write_object(hello)).receive == 256
    with pytest.raises(WireError):
        AgentHello.from_bytes(write_object(hello | change))


def test_a_hello_of_a_later_version_says_what_it_needs_to() -> None:
    assert AgentHello.from_bytes(b'{"versions":[2,3],"version":0,"more":{"x":1}}').versions == (2, 3)
    assert StationHello.from_bytes(b'{"versions":[2,1],"more":1}') == StationHello((2, 1), 256)


@pytest.mark.parametrize(("said", "counts"), [(0, 96), (95, 96), (1024, 1024), (4096, 1024)])
def test_a_payload_that_no_frame_has_counts_as_the_nearest(said: int, counts: int) -> None:
    assert StationHello.from_bytes(b'{"versions":[1],"receive":%d}' % said).receive == counts


@pytest.mark.parametrize(
    ("message", "found"),
    [(b'{"id":"q3","op":"facts","params":null}', "q3"), (b'{"id":"q4"}', "q4"), (b'{"id":"a b"}', ""), (b"{", "")],
)
def test_the_id_of_what_is_no_request(message: bytes, found: str) -> None:
    assert id_in(message) == found
