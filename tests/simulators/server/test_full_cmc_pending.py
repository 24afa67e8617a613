"""Requests by /fullcmc of the reference server that wait for somebody's decision (RFC 5272 section 6.7; EST-207)."""

from __future__ import annotations

import pytest

from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.pki_data import octets, pki_data, request_sequence
from tests.simulators.server.full_cmc_requests import (
    BAD_MESSAGE_CHECK,
    BAD_REQUEST,
    Draft,
    by,
    new_key,
    refused,
    said,
    send,
)
from tests.simulators.server.test_full_cmc import certified, serials


def _query(draft: Draft, token: bytes, nonce: bytes | None = None) -> bytes:
    draft.more = (octets(oids.QUERY_PENDING, token),)
    draft.more += (octets(oids.RECIPIENT_NONCE, nonce),) if nonce is not None else ()
    draft.proof = draft.link = False
    draft.nonce = new_key().private_numbers().private_value.to_bytes(32, "big")
    empty = request_sequence(None)
    return draft.wrap(pki_data(draft.controls(empty), empty))


@pytest.fixture
def waiting(cmc):
    """A request that waits: the draft, the token, the server's nonce."""
    cmc.policy.require_approval = True
    draft = Draft()
    answer = said(send(cmc, draft.message()))
    assert answer.status == 3
    return draft, answer.pend_token, answer.controls[oids.SENDER_NONCE][2:]


def test_pending_until_somebody_decides(cmc, waiting):
    draft, token, nonce = waiting
    again = said(send(cmc, _query(draft, token, nonce)))
    assert (again.status, again.pend_token) == (3, token)
    assert cmc.est.queue.decide(None, approve=True) == 1
    first = said(send(cmc, _query(draft, token)))
    assert (first.status, serials(cmc)) == (0, 1)
    lost = said(send(cmc, _query(draft, token)))
    assert set(lost.certificates) == set(first.certificates)
    assert serials(cmc) == 1


def test_pending_and_denied(cmc, waiting):
    draft, token, _nonce = waiting
    cmc.est.queue.decide(None, approve=False)
    assert refused(send(cmc, _query(draft, token))) == (403, BAD_REQUEST)


def test_est_207_a_query_goes_on_from_the_last_answer(cmc, waiting):
    """RFC 5272 section 6.6: what came back is the nonce that was sent, or it is no answer to it."""
    draft, token, first = waiting
    second = said(send(cmc, _query(draft, token, first))).controls[oids.SENDER_NONCE][2:]
    assert second != first
    cmc.est.queue.decide(None, approve=True)
    for nonce in (first, second[:-1], second + b"\0", b""):
        answer = send(cmc, _query(draft, token, nonce))
        assert refused(answer) == (400, BAD_REQUEST)
        assert "recipientNonce" in said(answer).text
    assert serials(cmc) == 0
    assert said(send(cmc, _query(draft, token, second))).status == 0


def test_denied_by_mistake(cmc, waiting):
    draft, token, _nonce = waiting
    cmc.est.queue.decide(None, approve=False)
    assert refused(send(cmc, _query(draft, token))) == (403, BAD_REQUEST)
    assert cmc.est.queue.decide(None, approve=True) == 0
    (request,) = cmc.est.queue.entries()
    assert cmc.est.queue.decide(request["id"], approve=True) == 1
    assert said(send(cmc, _query(draft, token))).status == 0
    for approve in (True, False):
        assert cmc.est.queue.decide(request["id"], approve=approve) == 0, "it was collected"


def test_queries_of_others(cmc, waiting):
    draft, token, _nonce = waiting
    cmc.est.queue.decide(None, approve=True)
    assert refused(send(cmc, _query(Draft(), token))) == (400, BAD_MESSAGE_CHECK)
    certificate, key = certified(cmc, "somebody")
    assert refused(send(cmc, _query(by(certificate, key), token))) == (403, BAD_REQUEST)
    assert refused(send(cmc, _query(draft, b"guess"))) == (400, BAD_REQUEST)
    assert refused(send(cmc, _query(draft, token, b"old nonce"))) == (400, BAD_REQUEST)
    draft.number = 1
    assert refused(send(cmc, _query(draft, token))) == (400, BAD_REQUEST)
    assert serials(cmc) == 0


def test_pending_survives_a_restart(cmc, waiting, tmp_path):
    from device_sdk_simulators.server import ReferenceServer

    draft, token, _nonce = waiting
    cmc.est.queue.decide(None, approve=True)
    cmc.stop()
    with ReferenceServer(tmp_path / "server", policy=cmc.policy) as again:
        assert said(send(again, _query(draft, token))).status == 0


def test_labels_keep_their_requests_apart(cmc, waiting):
    draft, token, _nonce = waiting
    cmc.policy.labels = {"lab"}
    assert refused(send(cmc, _query(draft, token), label="lab")) == (400, BAD_REQUEST)
