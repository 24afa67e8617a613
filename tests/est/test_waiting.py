"""Waiting through 202, 429 and 503 within one deadline (spec section 11; EST-161 to EST-164), and what is never sent twice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from device_sdk.client.est import Credentials, EstClient
from device_sdk.errors import (
    ConfigurationError,
    EnrolmentPendingError,
    HttpStatusError,
    ProxyRefusedError,
    ServerNotTrustedError,
    TransportError,
)
from device_sdk.model.secret import Secret
from device_sdk.protocols.est.backoff import Backoff, RetryPolicy
from tests.est.answers import SPEC, bag, issue, trusting
from tests.est.pki import Ca, new_key, server_certificate
from tests.est.scripted_server import Reply, http
from tests.hostile.host import Host
from tests.transports.proxies import ConnectProxy

POST = "POST /.well-known/est/simpleenroll"


def busy(status: int = 503, *headers: tuple[str, str], **options):
    return lambda seen: http(status, b"too many", *headers, **options)


@pytest.mark.parametrize("status", [429, 503])
def test_section_11_overload_is_waited_for(ca, enroll, clock, status):
    told = []
    enrolled, server = enroll(
        simpleenroll=[busy(status, ("Retry-After", "20")), busy(status), issue(ca)], wait_s=300, progress=told.append
    )
    assert enrolled.certificate
    assert server.lines.count(POST) == 3
    first, second = clock.slept
    assert 20 <= first <= 22
    assert 2 <= second <= 4
    assert [(pending.status_code, pending.server_text) for pending in told] == [(status, "too many")] * 2


def test_section_11_retry_after_as_a_date(ca, enroll, clock):
    date = (clock.now() + timedelta(seconds=40)).strftime("%A, %d-%b-%y %H:%M:%S GMT")
    enroll(simpleenroll=[busy(503, ("Retry-After", date)), issue(ca)], wait_s=300)
    assert 30 < clock.slept[0] <= 44


def test_back_off_doubles_and_ends_with_the_deadline(ca, enroll, clock):
    with pytest.raises(HttpStatusError, match="too many") as caught:
        enroll(simpleenroll=busy(), wait_s=300)
    assert caught.value.status_code == 503
    assert sum(clock.slept) <= 300
    for slept, ceiling in zip(clock.slept, (2, 4, 8, 16, 32, 60, 60, 60, 60, 60), strict=False):
        assert ceiling / 2 <= slept <= ceiling
    assert 6 <= len(clock.slept) <= 12


def test_one_deadline_for_all_requests_of_an_enrolment(ca, serve, clock):
    """/cacerts eats up most of the time; what is left is not enough for the enrolment's Retry-After."""
    server = serve(
        cacerts=[busy(503, ("Retry-After", "40")), bag(ca.certificate)], simpleenroll=busy(503, ("Retry-After", "40"))
    )
    with EstClient(server.url, trusting(ca), clock=clock) as client, pytest.raises(HttpStatusError) as caught:
        client.enroll(new_key(), SPEC, wait_s=60)
    assert len(clock.slept) == 1
    assert caught.value.retry_after_s == 40


@pytest.mark.parametrize("operation", ["cacerts", "csrattrs"])
def test_gets_wait_too(ca, serve, clock, operation):
    answers = {"cacerts": bag(ca.certificate), "csrattrs": lambda seen: http(204)}
    server = serve(**{operation: [busy(429), busy(503), answers[operation]]})
    with EstClient(server.url, trusting(ca), clock=clock) as client:
        getattr(client, operation)(wait_s=60)
    assert len(clock.slept) == 2


def test_nobody_waits_who_was_not_asked_to(ca, enroll, clock):
    with pytest.raises(HttpStatusError) as caught:
        enroll(simpleenroll=busy(503, ("Retry-After", "1")))
    assert caught.value.retry_after_s == 1
    assert clock.slept == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("315360000", 86400),
        ("Fri, 01 Jan 2999 00:00:00 GMT", 86400),
        ("9" * 400, None),
        ("-5", None),
        ("soon", None),
        ("1e3", None),
        ("\u0663", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
def test_est_162_absurd_values_are_bounded(ca, enroll, clock, value, shown):
    """Years are a day, and what is no time at all is as if it were not there."""
    reply = Reply(f"HTTP/1.1 503 No\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n".encode())
    with pytest.raises(HttpStatusError) as caught:
        enroll(simpleenroll=lambda seen: reply, wait_s=10)
    if shown is not None:
        assert caught.value.retry_after_s == shown
    assert sum(clock.slept) <= 10


def test_est_162_the_cap_can_be_set(ca, serve, clock):
    server = serve(
        cacerts=bag(ca.certificate), simpleenroll=[lambda seen: http(202, b"", ("Retry-After", "5000")), issue(ca)]
    )
    retry = RetryPolicy(retry_after_cap_s=30)
    with EstClient(server.url, trusting(ca), clock=clock, retry=retry) as client:
        client.enroll(new_key(), SPEC, wait_s=60)
    assert clock.slept == [30]


@pytest.mark.parametrize("status", [500, 502, 504, 408])
def test_only_answers_that_mean_later_are_waited_for(ca, enroll, clock, status):
    """502 and 504 leave open what the CA behind has done."""
    with pytest.raises(HttpStatusError):
        enroll(simpleenroll=busy(status, ("Retry-After", "1")), wait_s=60)
    assert clock.slept == []
    assert enroll.server.lines.count(POST) == 1


def lost(seen):
    return Reply(b"", "tear")


def test_rfc_9110_section_9_2_2_a_lost_post_is_not_sent_again(ca, serve, clock):
    server = serve(cacerts=bag(ca.certificate), simpleenroll=[lost, issue(ca)])
    retry = RetryPolicy(connections=True)
    with EstClient(server.url, trusting(ca), clock=clock, retry=retry) as client, pytest.raises(TransportError):
        client.enroll(new_key(), SPEC, wait_s=600)
    assert server.lines.count(POST) == 1
    assert clock.slept == []


def test_est_164_a_pending_request_survives_a_lost_connection(ca, enroll, clock):
    """202 is the server's word that the request is to be sent again; so a poll that gets lost is sent again."""
    _, server = enroll(
        simpleenroll=[lambda seen: http(202, b"", ("Retry-After", "5")), lost, issue(ca)],
        wait_s=60,
    )
    assert server.lines.count(POST) == 3
    assert clock.slept[0] == 5


def test_est_164_a_server_is_checked_again_when_the_wait_is_over(ca, tmp_path, clock):
    """RFC 7030 section 4.2.3: over the new connection the request is as the first one was; a stranger there gets nothing."""
    stranger = Ca.root("stranger")
    certificate, key = server_certificate(stranger)
    host = Host(ca, tmp_path)

    def later(seen):
        host.show(certificate, key)
        return http(202, b"", ("Retry-After", "5"), ("Connection", "close"), then="close")

    host.answer(simpleenroll=[later, issue(ca)])
    credentials = Credentials("device", Secret("canary"))
    try:
        with (
            EstClient(host.url, trusting(ca), clock=clock, credentials=credentials) as client,
            pytest.raises(ServerNotTrustedError),
        ):
            client.enroll(new_key(), SPEC, wait_s=60)
    finally:
        host.close()
    assert clock.slept == [5]
    assert host.lines.count(POST) == 1
    assert b"authorization" not in bytes(host.received).lower()


def test_est_164_the_connection_is_closed_while_waiting_long(ca, enroll):
    _, server = enroll(simpleenroll=[lambda seen: http(202, b"", ("Retry-After", "45")), issue(ca)], wait_s=60)
    assert len({seen.connection for seen in server.seen}) == 2


def test_connections_are_tried_again_only_where_that_was_asked_for(ca, clock):
    for retry, waits in ((RetryPolicy(), False), (RetryPolicy(connections=True), True)):
        told = []
        clock.slept.clear()
        with (
            EstClient("https://127.0.0.1:1", trusting(ca), clock=clock, retry=retry) as client,
            pytest.raises(TransportError, match="refused") as caught,
        ):
            client.cacerts(wait_s=30, progress=told.append)
        assert caught.value.request_sent is False
        assert bool(clock.slept) == waits
        assert [pending.status_code for pending in told] == [0] * len(clock.slept)


def test_a_server_that_is_not_trusted_is_not_asked_again(ca, serve, clock):
    server = serve(signed_by=Ca.root("stranger"))
    retry = RetryPolicy(connections=True)
    with EstClient(server.url, trusting(ca), clock=clock, retry=retry) as client, pytest.raises(ServerNotTrustedError):
        client.cacerts(wait_s=60)
    assert clock.slept == []


@pytest.mark.parametrize("status", [403, 407])
def test_a_proxy_that_says_no_is_not_asked_again(ca, clock, status):
    """Asking again with a wrong password could lock somebody out of the proxy."""
    retry = RetryPolicy(connections=True)
    with (
        ConnectProxy(b"HTTP/1.1 %d No\r\n\r\n" % status, tunnel=False) as proxy,
        EstClient("https://est.example", trusting(ca), clock=clock, retry=retry, proxy=proxy.url) as client,
        pytest.raises(ProxyRefusedError),
    ):
        client.cacerts(wait_s=60)
    assert clock.slept == []
    assert len(proxy.requests) == 1


def test_a_user_who_interrupts_can_go_on_later(ca, serve, clock):
    """Ctrl-C while waiting: the same key is accepted later (EST-163), and the client can be used again."""
    server = serve(
        cacerts=bag(ca.certificate), simpleenroll=[lambda seen: http(202, b"", ("Retry-After", "9")), issue(ca)]
    )
    key = new_key()

    def interrupt(_):
        raise KeyboardInterrupt

    with EstClient(server.url, trusting(ca), clock=clock) as client:
        with pytest.raises(KeyboardInterrupt):
            client.enroll(key, SPEC, wait_s=60, progress=interrupt)
        assert client.enroll(key, SPEC).certificate.public_key() == key.public_key()


def test_pending_error_is_not_lost_behind_an_overload(ca, enroll):
    with pytest.raises(EnrolmentPendingError):
        enroll(simpleenroll=[busy(503), lambda seen: http(202, b"", ("Retry-After", "600"))], wait_s=30)


def test_jitter_spreads_devices():
    """Never earlier than the server asked, and not all at once."""
    policy = RetryPolicy()
    assert Backoff(policy, lambda: 0.0).overload_s(50) == 50
    assert Backoff(policy, lambda: 0.999).overload_s(50) > 54
    assert Backoff(policy, lambda: 0.999).overload_s(3600) < 3610
    assert Backoff(policy, lambda: 0.0).overload_s(None) == 1
    assert Backoff(policy, lambda: 0.999).pending_s(50) == 50
    assert Backoff(policy, lambda: 0.0).overload_s(10**9) == Backoff(policy, lambda: 0.0).pending_s(10**9) == 86400


@pytest.mark.parametrize(
    "wrong", [{"first_s": 0}, {"first_s": 90}, {"longest_s": float("nan")}, {"retry_after_cap_s": 0}]
)
def test_policies_that_cannot_work(wrong):
    with pytest.raises(ConfigurationError):
        RetryPolicy(**wrong)
