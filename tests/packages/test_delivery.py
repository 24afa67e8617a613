"""What waits in the outbox is given to the server once, or stays, or is given up and told (section 13 of the profile)."""

from __future__ import annotations

import pytest

from device_sdk.errors import HttpStatusError, TransportError
from tests.est.scripted_server import http

PLACES = {
    "firmware/return": "a firmware receipt",
    "symmetrickeys/return": "a receipt for keys",
    "tamp/return": "a confirm",
}


@pytest.fixture
def waiting(synced):
    """Three messages; what the server answers is `synced.answer`."""
    synced.answer = lambda _: http(204)

    def answer(seen):
        return synced.answer(seen)

    synced.server.handlers["return"] = answer
    box = synced.device.state.outbox
    for path, about in PLACES.items():
        box.put(path, "application/cms; x=y", about.encode(), about=about, made_at=synced.clock.now())
    return synced


def test_all_is_delivered_once_in_order_and_as_it_was(waiting):
    seen = []
    waiting.answer = lambda one: (seen.append(one), http(204))[1]
    assert [one.about for one in waiting.device.deliver().sent] == list(PLACES.values())
    assert waiting.asked() == [f"POST {path}" for path in PLACES]
    assert [one.body.decode() for one in seen] == list(PLACES.values())
    assert {one.header("Content-Type") for one in seen} == {"application/cms; x=y"}
    assert waiting.device.state.outbox.pending() == ()
    again = waiting.device.deliver()
    assert (again.sent, again.waiting, again.dropped, waiting.asked()) == ((), (), (), [])


def test_sync_delivers_what_waits(waiting):
    report = waiting.device.sync()
    assert [one.about for one in report.delivery.sent] == list(PLACES.values())
    assert waiting.asked() == ["GET pal", *(f"POST {path}" for path in PLACES)]
    assert waiting.device.sync().delivery.sent == ()


@pytest.mark.parametrize("status", [400, 409, 415, 422])
def test_a_final_refusal_gives_a_message_up_and_says_so(waiting, status):
    waiting.answer = lambda one: (
        http(status, b"no", ("Content-Type", "text/plain")) if "tamp" in one.line else http(204)
    )
    report = waiting.device.sync()
    assert len(report.delivery.sent) == 2
    (dropped,) = report.delivery.dropped
    assert (dropped.about, f" {status}: no" in dropped.why) == ("a confirm", True)
    assert report.delivery.words == (f"given up: a confirm: {dropped.why}",)
    assert waiting.device.state.outbox.pending() == ()
    assert waiting.device.sync().delivery.dropped == (dropped,), "until somebody was told"


@pytest.mark.parametrize("status", [403, 404, 405])
def test_what_is_often_about_something_else_counts_after_a_day(waiting, status):
    """A clock that is wrong, or an operation that is switched off for an hour, is no reason to lose a receipt."""
    from device_sdk.protocols.est.returns import PATIENCE

    waiting.answer = lambda one: http(status) if "tamp" in one.line else http(204)
    (left,) = waiting.device.deliver().waiting
    box = waiting.device.state.outbox
    for _ in range(PATIENCE - 2):
        box.failed(left[0].id)
    assert [one.tries for one in box.pending()] == [PATIENCE - 1]
    (dropped,) = waiting.device.deliver().dropped
    assert (dropped.about, box.pending()) == ("a confirm", ())


@pytest.mark.parametrize("status", [302, 401, 408, 429, 500, 503])
def test_anything_else_keeps_a_message_for_the_next_time(waiting, status):
    waiting.answer = lambda _: http(status)
    report = waiting.device.sync()
    assert [one.about for one, _ in report.delivery.waiting] == list(PLACES.values())
    assert not report.failed
    assert [one.tries for one in waiting.device.state.outbox.pending()] == [1, 1, 1]
    waiting.answer = lambda _: http(204)
    assert len(waiting.device.deliver().sent) == 3


def test_a_success_with_content_is_a_success(waiting):
    waiting.answer = lambda _: http(200, b"thanks")
    delivery = waiting.device.deliver()
    assert len(delivery.sent) == 3
    assert "an answer with content" in delivery.words[0]
    assert waiting.device.state.outbox.pending() == ()


def test_a_server_that_is_away_is_asked_once(waiting):
    waiting.server.close()
    delivery = waiting.device.deliver()
    assert all(isinstance(error, TransportError) for _, error in delivery.waiting)
    assert [one.tries for one in waiting.device.state.outbox.pending()] == [1, 0, 0]


def test_a_message_for_another_server_is_given_to_nobody(waiting):
    from dataclasses import replace

    from device_sdk.state import Endpoint

    state = waiting.device.state
    state.save(replace(state.load(), endpoint=Endpoint(waiting.server.url.replace("127.0.0.1", "localhost"))))
    delivery = waiting.device.deliver()
    assert (len(delivery.dropped), waiting.asked()) == (3, [])
    assert "not enrolled any more" in delivery.dropped[0].why


def test_what_is_held_is_not_sent(waiting):
    box = waiting.device.state.outbox
    box.put("firmware/return", "application/cms", b"x", about="held", made_at=waiting.clock.now(), held=True, event="7")
    assert len(waiting.device.deliver().sent) == 3
    assert [one.about for one in box.held()] == ["held"]


def test_a_refusal_is_an_error_for_who_sends_by_itself(waiting):
    from device_sdk.client.device.plan import RenewalPlan
    from device_sdk.client.device.sync.session import Session

    waiting.answer = lambda _: http(403)
    with waiting.device._context().running() as context:
        session = Session(context, RenewalPlan())
        with pytest.raises(HttpStatusError):
            session.client.packages.send_return("tamp/return", "application/cms", b"x")
        session.close()
