"""What a simulated device refuses, as a real one should."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from device_sdk_simulators.serial.agent.clerk import Clerk, error_answer
from device_sdk_simulators.serial.agent.messages import BadMessageError, read_object
from device_sdk_simulators.serial.board import Board
from device_sdk_simulators.serial.board_request import MAC_ADDRESS
from device_sdk_simulators.serial.device_faults import DeviceFaults
from device_sdk_simulators.serial.fleet.plan import FleetPlan
from device_sdk_simulators.serial.operations import perform, read_params
from device_sdk_simulators.serial.refusal import RefusalError

from tests.simulators.serial.conftest import Issue

MAC_ASKED_FOR = bytes.fromhex("300906072b060101010116")


def keyed() -> Board:
    board = Board("SN-1", ("02:00:5e:10:00:01",))
    board.configure(b'[identity]\nsubject = "O=Example"\n', b"")
    board.create_key("tpm2:", "ec-p256", file_allowed=False)
    return board


def test_a_request_says_who_asks() -> None:
    board = keyed()
    csr = x509.load_der_x509_csr(board.request(MAC_ASKED_FOR))
    assert csr.subject.rfc4514_string() == "2.5.4.5=SN-1,O=Example"
    assert csr.attributes.get_attribute_for_oid(MAC_ADDRESS).value == b"02:00:5e:10:00:01"
    assert not list(x509.load_der_x509_csr(board.request(b"")).attributes)
    assert board.create_key("tpm2:", "ec-p256", file_allowed=False) is board.pending
    assert len(board.made) == 1


def test_certificates_that_are_not_for_it(issue: Issue) -> None:
    board, other = keyed(), keyed()
    answer, chain = issue(board.request(b""))
    with pytest.raises(RefusalError, match="no certificate for the key"):
        other.install(answer, chain)
    (certificate,) = [one for one in pkcs7.load_der_pkcs7_certificates(answer) if one.subject != one.issuer][:1]
    alone = pkcs7.serialize_certificates([certificate], Encoding.DER)
    with pytest.raises(RefusalError, match="not issued by any"):
        board.install(alone, alone)
    with pytest.raises(RefusalError, match="no certs-only"):
        board.install(b"junk", chain)
    assert board.enrolled is None
    first = board.install(answer, chain)
    assert board.install(answer, chain) == first == board.enrolled
    assert len(board.certificates) == 1


def test_what_it_refuses() -> None:
    board = Board("SN-1")
    for code, refused in (
        ("state", lambda: board.request(b"")),
        ("state", lambda: board.prove(b"n" * 32)),
        ("state", lambda: board.install(b"", b"")),
        ("configuration", lambda: board.configure(b"= nothing", b"")),
        ("configuration", lambda: board.configure(b"", b"no PEM")),
        ("configuration", lambda: board.configure(b"#" * 70_000, b"")),
        ("configuration", lambda: board.create_key("file:/key", "ec-p256", file_allowed=False)),
        ("configuration", lambda: board.create_key("ftp:", "ec-p256", file_allowed=True)),
        ("configuration", lambda: board.create_key("tpm2:", "dsa", file_allowed=True)),
        ("transport", board.enrol),
        ("command-not-allowed", lambda: board.run(("rm",))),
        ("unknown-operation", lambda: read_params("fly", {})),
        ("bad-message", lambda: read_params("facts", {"more": 1})),
        ("bad-message", lambda: read_params("prove", {"nonce": "!"})),
        ("bad-message", lambda: read_params("run", {"command": [], "timeout": 1})),
        ("bad-message", lambda: read_params("run", {"command": ["x"], "timeout": True})),
    ):
        with pytest.raises(RefusalError) as error:
            refused()
        assert error.value.code == code or (code == "state" and error.value.code == "malformed")
    assert board.run(("self-test",)) == (0, "self test passed\n")


@pytest.mark.parametrize(
    "message",
    [b"", b"[]", b'{"a":1,"a":2}', b'{"a":1.5}', b'{"a":NaN}', b'{"a":1234567890123456}', b'{"a":"\xc3\xa4"}', b'{"a":\t1}',
     b'{"a":"\\ud800"}', b'{"a":' + b"[" * 8 + b"]" * 8 + b"}", b'{"a":[' + b"1," * 10_001 + b"1]}"],
)  # fmt: skip
def test_json_that_is_none_here(message: bytes) -> None:
    with pytest.raises(BadMessageError):
        read_object(message)


def test_json_that_is() -> None:
    text = b'{"a":' + b"[" * 7 + b"]" * 7 + b',"b":"\\ud83d\\ude00, \\u00e4","c":-123456789012345}'
    assert read_object(text)["b"] == "\U0001f600, \xe4"


def test_the_same_id_again_does_nothing_twice() -> None:
    board, answers, begun = keyed(), [], []
    clerk = Clerk(board, lambda request, params: begun.append((request, params)), answers.append)

    def ask(request_id: str, operation: str, **params: object) -> None:
        clerk.take(json.dumps({"id": request_id, "op": operation, "params": params}, separators=(",", ":")).encode())

    ask("a", "facts")
    ask("a", "facts")
    ask("b", "prove", nonce=base64.b64encode(b"n" * 32).decode())
    assert [answer["error"]["code"] for answer in answers] == ["busy"]
    (request, params) = begun[0]
    assert len(begun) == 1
    clerk.finish(request, {"id": "a", "result": perform(board, "facts", params)})
    ask("a", "facts")
    ask("a", "prove", nonce="")
    ask("c", "create-key", uri="tpm2:", type="ec-p256", file_allowed=False)
    clerk.finish(begun[1][0], error_answer("c", RefusalError("keystore", "no", 3)))
    ask("c", "create-key", uri="tpm2:", type="ec-p256", file_allowed=False)
    assert [answer["error"]["code"] if "error" in answer else "result" for answer in answers[1:]] == [
        "result", "result", "id-reused", "keystore",
    ]  # fmt: skip
    assert len(begun) == 3
    clerk.write_down(begun[2][0], {"uri": "kept"})
    after_reset = Clerk(board, lambda request, params: begun.append((request, params)), answers.append)
    again = {"id": "c", "op": "create-key", "params": begun[2][0].params}
    after_reset.take(json.dumps(again, separators=(",", ":")).encode())
    assert answers[-1] == {"id": "c", "result": {"uri": "kept"}}


def test_what_failed_before_an_enrolment_is_not_done_after_it(issue: Issue) -> None:
    board, answers, begun = keyed(), [], []
    clerk = Clerk(board, lambda request, _params: begun.append(request), answers.append)

    def ask(request_id: str, operation: str) -> None:
        clerk.take(json.dumps({"id": request_id, "op": operation, "params": {}}, separators=(",", ":")).encode())

    ask("a", "enrol")
    clerk.finish(begun[0], error_answer("a", RefusalError("network", "no", 5)))
    assert board.done_ids == {}
    ask("b", "enrol")
    clerk = Clerk(board, lambda request, _params: begun.append(request), answers.append)
    ask("c", "enrol")
    board.certificates += pkcs7.load_der_pkcs7_certificates(issue(board.request(b""))[0])
    clerk.write_down(begun[2], {"certificate": board.enrolled})
    clerk.finish(begun[2], {"id": "c", "result": {"certificate": board.enrolled}})
    assert list(board.done_ids) == ["c"]
    for name in "abcd":
        ask(name, "enrol")
    assert [answer.get("error", {}).get("code") for answer in answers[2:]] == ["device-enrolled"] * 2 + [
        None, "device-enrolled",
    ]  # fmt: skip
    assert len(begun) == 3


def test_faults_that_there_are_not() -> None:
    for wrong in ([("facts", "rain")], [("dance", "cut")]):
        with pytest.raises(ValueError, match="no such fault"):
            DeviceFaults(wrong)
    with pytest.raises(ValueError, match="no such misfortune: rain"):
        FleetPlan(only={0: "rain"})


def test_the_same_seed_draws_the_same_misfortunes() -> None:
    plans = [FleetPlan(400, faults=0.1, seed=seed) for seed in (1, 1, 2)]
    drawn = [[plan.misfortune(number) for number in range(400)] for plan in plans]
    assert drawn[0] == drawn[1] != drawn[2]
    assert 20 <= sum(one is not None for one in drawn[0]) <= 60
    assert len({plans[0].serial_number(number) for number in range(400)}) == 400
    assert len({plans[0].mac(number) for number in range(400)}) == 400
