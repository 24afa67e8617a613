"""Which requests are done, refused, or answered from the book; the book on a disk that is full, damaged, or another's."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from device_sdk.client.agent import AnswerBook, Desk
from device_sdk.client.agent.device import AgentOperations
from device_sdk.client.agent.standing import Standing
from device_sdk.wire.agent.messages import Refusal, Request, Result
from tests.agent.test_provisioning import Device

WISH = {"uri": "tpm2:", "type": "ec-p256", "file_allowed": False}


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path / "device")


def code(answer: Result | Refusal) -> str:
    return answer.code if isinstance(answer, Refusal) else "result"


@pytest.mark.parametrize(
    ("op", "params"),
    [
        ("facts", {"x": 1}),
        ("configure", {"config": ""}),
        ("configure", {"config": "%", "anchors": ""}),
        ("configure", {"config": "AA", "anchors": ""}),
        ("configure", {"config": ["AA=="], "anchors": ""}),
        ("configure", {"config": "A" * 4 * 21847, "anchors": ""}),
        ("create-key", {"uri": "tpm2:", "type": "ec-p256"}),
        ("create-key", WISH | {"type": "dsa"}),
        ("create-key", WISH | {"file_allowed": "yes"}),
        ("create-key", WISH | {"file_allowed": 1}),
        ("create-key", WISH | {"again": 0}),
        ("create-key", WISH | {"uri": "file:/\x1b[2J"}),
        ("create-key", WISH | {"pin": "1234"}),
        ("request", {}),
        ("install", {"answer": ""}),
        ("prove", {"nonce": "AAAA"}),
        ("run", {"command": [], "timeout": 5}),
        ("run", {"command": "true", "timeout": 5}),
        ("run", {"command": ["true", 1], "timeout": 5}),
        ("run", {"command": ["a\nb"], "timeout": 5}),
        ("run", {"command": ["x"] * 33, "timeout": 5}),
        ("run", {"command": ["true"], "timeout": 0}),
        ("run", {"command": ["true"], "timeout": True}),
        ("run", {"command": ["true"], "timeout": 3601}),
    ],
)
def test_params_that_are_wrong(device: Device, op: str, params: dict[str, Any]) -> None:
    assert code(device.desk.answer(Request("a", op, params))) == "bad-message"
    assert not (device.home / "state").exists()


def test_only_commands_that_are_allowed_word_for_word(device: Device) -> None:
    state = device.home / "state"
    desk = Desk(
        AgentOperations(None),  # type: ignore[arg-type]  # `run` asks it nothing
        AnswerBook(lambda: state),
        Standing,
        commands=(("sh", "-c", "echo ok; exit 3"), ("true",)),
    )

    def run(name: str, *words: str) -> Result | Refusal:
        return desk.answer(Request(name, "run", {"command": list(words), "timeout": 30}))

    assert run("a", "sh", "-c", "echo ok; exit 3") == Result("a", {"status": 3, "output": "ok\n"})
    for number, words in enumerate((("sh",), ("sh", "-c", "id"), ("true", ""), ("/bin/true",), ("True",))):
        assert code(run(f"b{number}", *words)) == "command-not-allowed"


def test_a_station_cannot_allow_itself_commands(device: Device) -> None:
    config = base64.b64encode(b'[agent]\ncommands = ["id"]\n').decode()
    answer = device.desk.answer(Request("a", "configure", {"config": config, "anchors": ""}))
    assert code(answer) == "configuration"
    assert "agent.commands" in answer.message  # type: ignore[union-attr]
    assert b"commands" not in device.config.read_bytes()


def test_the_same_id_runs_once(device: Device) -> None:
    """Though its answer is asked for three times, the last one after sixteen others."""
    count = device.home / "count"
    command = ("sh", "-c", f"echo x >> {count}")
    desk = Desk(
        AgentOperations(None),  # type: ignore[arg-type]
        AnswerBook(lambda: device.home / "state"),
        Standing,
        commands=(command, ("true",)),
    )
    request = Request("a", "run", {"command": list(command), "timeout": 30})
    for _ in range(2):
        assert code(desk.answer(request)) == "result"
    assert count.read_text() == "x\n"
    for number in range(16):
        desk.answer(Request(f"b{number}", "run", {"command": ["true"], "timeout": 30}))
    desk.answer(request)
    assert count.read_text() == "x\nx\n"


def test_the_book_holds_a_mebibyte(device: Device) -> None:
    book = AnswerBook(lambda: device.home / "state")
    requests = [Request(f"a{number}", "request", {"csrattrs": ""}) for number in range(8)]
    for request in requests:
        book.ended(request, {"csr": "x" * 200_000})
    assert [book.find(request) is not None for request in requests] == [False] * 3 + [True] * 5
    book.ended(requests[0], {"csr": "x" * 2_000_000})
    assert [book.find(request) is not None for request in requests] == [True] + [False] * 7


def test_what_was_begun_is_known_after_a_reset(device: Device) -> None:
    """Sixteen requests of those that are written down; a later one with the same id is another question."""
    state = device.home / "state"
    for number in range(20):
        book = AnswerBook(lambda: state)
        book.begun(Request(f"a{number}", "create-key", WISH))
        if number % 2:
            book.ended(Request(f"a{number}", "create-key", WISH), {"number": number})
    book = AnswerBook(lambda: state)
    found = [book.find(Request(f"a{number}", "create-key", WISH)) for number in range(20)]
    assert found[:4] == [None] * 4
    assert [one.result for one in found[4:] if one] == [{"number": n} if n % 2 else None for n in range(4, 20)]
    assert (state / "agent.json").stat().st_mode & 0o777 == 0o600
    device.reset()
    assert code(device.desk.answer(Request("a19", "enrol", {}))) == "id-reused"


def test_what_begins_once_more_has_no_result_and_began_when_it_began_first(device: Device) -> None:
    state, request = device.home / "state", Request("a", "create-key", WISH)
    book = AnswerBook(lambda: state)
    for before, result in ((None, None), ("00", None), ("00", {"uri": "tpm2:"}), ("11", None)):
        book.begun(request, before)
        if result:
            book.ended(request, result)
            assert book.find(request) is not None
        found = [AnswerBook(lambda: state).find(request), book.find(request)]
        assert [one and one.result for one in found] == [result] * 2
    assert found[0] is not None
    assert found[0].before == "11"
    book.begun(request, "22")
    known = book.find(request)
    assert known is not None
    assert known.before == "11"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"requests":1}', b'{"requests":[{"id":"a"}]}', b"\xff", b"[" * 100_000,
                b'{"requests":[{"id":"a","digest":"b","result":[]}]}']
)  # fmt: skip
def test_a_book_that_is_damaged(device: Device, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Counts as empty: nobody on the line could remove it."""
    state = device.home / "state"
    AnswerBook(lambda: state).begun(Request("x", "enrol", {}))
    (state / "agent.json").write_bytes(content)
    answer = device.desk.answer(Request("a", "create-key", WISH))
    assert code(answer) == "configuration", "it says no more than that nobody is to be trusted yet"
    assert "agent.json" in caplog.text
    assert json.loads((state / "agent.json").read_bytes()) == {"requests": []}
    assert code(device.desk.answer(Request("b", "facts", {}))) == "result"


def test_nothing_begins_that_cannot_be_written_down(device: Device) -> None:
    """A state directory that cannot be made, as on a disk that is full."""
    (device.home / "state").write_bytes(b"")
    for op, params in (("create-key", WISH), ("enrol", {})):
        assert code(device.desk.answer(Request(op, op, params))).startswith("state")
    assert json.loads(device.desk.answer(Request("b", "prove", {"nonce": "A" * 43 + "="})).to_bytes())["error"]


def test_a_defect_ends_one_operation(device: Device) -> None:
    desk = Desk(AgentOperations(None), AnswerBook(lambda: device.home), Standing)  # type: ignore[arg-type]
    answer = desk.answer(Request("a", "facts", {}))
    assert (code(answer), answer.exit_code) == ("defect", 255)  # type: ignore[union-attr]
