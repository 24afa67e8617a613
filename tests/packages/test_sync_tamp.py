"""`sync` and messages about trust anchors: each is done once, each is answered, also after a power cut (RFC 8295 section 7; TR-05)."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.device.importing import NameGiven, import_anchors, read_trust_anchor
from device_sdk.client.device.sync import StepState
from device_sdk.errors import TampRefusedError
from device_sdk.protocols.tamp import Role
from device_sdk.state import ProcessedPackage
from device_sdk.wire.cms.signed_data import read_signed_data
from tests.est.scripted_server import http
from tests.tamp import making
from tests.tamp.making import Manager, add, authority, certificate, read_answer

DONE, EARLIER, FAILED, SKIPPED = StepState.DONE, StepState.EARLIER, StepState.FAILED, StepState.SKIPPED
UPDATE, CONFIRM = ("0030", "tamp/m-1", 700), ("0031", "tamp/return", 0)


@pytest.fixture(scope="module")
def apex():
    return authority("Apex")


@pytest.fixture
def managed(synced, apex):
    """A device whose anchors an apex manages; `told` is what came back."""
    state = synced.device.state
    with state.exclusive():
        anchor = read_trust_anchor(apex.certificate.public_bytes(Encoding.DER), "apex")
        import_anchors(state, [anchor], Role.APEX, NameGiven(making.HARDWARE, making.SERIAL))
    synced.manager, synced.told, synced.status = Manager(apex), [], 204
    synced.new = authority("New identity")

    def take(seen):
        synced.told.append(seen.body)
        return http(synced.status)

    def give(place, message):
        synced.server.handlers[place] = lambda _: http(200, message, ("Content-Type", "application/tamp-update"))
        return message

    synced.give = give
    synced.message = give("m-1", synced.manager.update(add(certificate(synced.new))))
    synced.server.handlers["return"] = take
    synced.entries = [UPDATE]
    return synced


def statuses(message: bytes) -> list[str]:
    """By the foreign reader."""
    data = read_signed_data(message)
    found = read_answer(data.content_type, data.content)
    if "status" in found:
        return [str(found["status"])]
    verbose = found["confirm"]["verboseConfirm"]
    return [str(one) for one in verbose["status"]]


def generation(managed) -> int:
    return managed.device.state.managed.load().generation


def test_tr_05_a_message_is_done_and_answered_once(managed):
    report = managed.device.sync()
    assert managed.outcomes(report) == [("0030", DONE)]
    assert report.steps[0].detail == "trust anchor update, number 1: done; add CN=New identity: done"
    assert managed.new.certificate in managed.device.anchors
    (answer,) = managed.told
    assert statuses(answer) == ["success"]
    assert [one.path for one in report.delivery.sent] == ["tamp/return"]
    before = generation(managed)
    assert managed.outcomes() == [("0030", EARLIER)], "its number would be refused now"
    assert (generation(managed), len(managed.told)) == (before, 1)
    assert managed.device.state.check() == ()


def test_tr_05_an_answer_is_sent_again_if_the_list_asks(managed):
    managed.entries = [CONFIRM]
    assert managed.outcomes() == [("0031", SKIPPED)]
    managed.status = 503
    managed.entries = [UPDATE, CONFIRM]
    report = managed.device.sync()
    assert managed.outcomes(report) == [("0030", DONE), ("0031", DONE)]
    assert len(report.delivery.waiting) == 1
    managed.status = 204
    managed.told.clear()
    managed.outcomes()
    managed.outcomes()
    first, again = managed.told
    assert first == again, "once because it waited, and once because the list asked"


def test_t_07_a_message_that_is_refused_is_told_once(managed, apex):
    managed.give("m-1", Manager(authority("Stranger")).update(add(certificate(managed.new))))
    report = managed.device.sync()
    assert managed.outcomes(report) == [("0030", FAILED)]
    assert isinstance(report.steps[0].error, TampRefusedError)
    assert len(managed.told) == 1
    assert managed.outcomes() == [("0030", FAILED)]
    assert len(managed.told) == 1, "told already"
    managed.entries = [UPDATE, CONFIRM]
    managed.outcomes()
    assert len(managed.told) == 2


def test_t_08_a_message_of_which_a_part_is_not_done_is_a_failure_and_stops_nothing(managed):
    managed.give(
        "m-1", managed.manager.update(add(certificate(managed.new)), add(certificate(managed.manager.authority)))
    )
    managed.give("m-2", managed.manager.query())
    managed.entries = [UPDATE, ("0028", "tamp/m-2", 100)]
    report = managed.device.sync()
    assert managed.outcomes(report) == [("0030", FAILED), ("0028", DONE)]
    assert "1 of 2 not done" in report.steps[0].detail
    assert managed.new.certificate in managed.device.anchors
    assert len(managed.told) == 2


def test_a_power_cut_after_the_change_and_before_the_note(managed):
    """The store is changed, the answer held, the ledger says begun: the message is not done a second time, nor refused."""
    managed.device.sync()
    state = managed.device.state
    (record,) = state.processed.all()
    assert record.sha256 == hashlib.sha256(managed.message).hexdigest()
    event = state.managed.event(state.managed.load())
    state.processed.save(replace(record, result="begun", event=event))
    (kept,) = record.returns
    put = state.outbox.put(kept.path, kept.media_type, kept.body, about="x", made_at=record.at, held=True, event=event)
    assert put
    assert managed.outcomes() == [("0030", EARLIER)]
    assert managed.told == [kept.body, kept.body], "by the first run, and by the one after the power cut"


def test_a_power_cut_before_the_change(managed):
    """Begun, and not done: the message is done now."""
    state = managed.device.state
    digest = hashlib.sha256(managed.message).hexdigest()
    place = f"{managed.server.url}/.well-known/est/tamp/m-1"
    state.processed.save(ProcessedPackage(place, "0030", 700, digest, "begun", managed.clock.now(), "ab" * 32))
    assert managed.outcomes() == [("0030", DONE)]
    assert [statuses(one) for one in managed.told] == [["success"]]


def test_nobody_manages_the_anchors_of_this_device(synced):
    synced.entries = [UPDATE, CONFIRM]
    report = synced.device.sync()
    assert {state for _, state in synced.outcomes(report)} == {StepState.UNCONFIGURED}
    assert "device-sdk anchors import" in report.steps[0].detail
    assert synced.asked() == ["GET pal"]
