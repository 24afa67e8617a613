"""Package lists over TLS: asked for, followed from one to the next, and never anywhere else (RFC 8295 section 2)."""

from __future__ import annotations

import json

import pytest

from device_sdk.client.est import EstClient
from device_sdk.errors import (
    AuthenticationRequiredError,
    EnrolmentPendingError,
    HttpStatusError,
    RemoteProtocolError,
    ResponseTooLargeError,
)
from device_sdk.model.credentials import Credentials
from device_sdk.model.secret import Secret
from tests.est.answers import trusting
from tests.est.scripted_server import http

BASE = "/.well-known/est"
LOGIN = Credentials("device", Secret(b"secret-of-the-list"))


def listed(server, *entries: tuple[str, str], form: str = "json") -> bytes:
    found = [(kind, place if "://" in place else f"{server.url}{BASE}/{place}") for kind, place in entries]
    if form == "json":
        return json.dumps([{"type": kind, "size": 1, "info": {"uri": uri}} for kind, uri in found]).encode()
    messages = "".join(
        f"<message><type>{kind}</type><size>1</size><info><uri>{uri}</uri></info></message>" for kind, uri in found
    )
    return f'<pal xmlns="urn:ietf:params:xml:ns:pal">{messages}</pal>'.encode()


@pytest.fixture
def ask(ca, serve, clock):
    """What a client makes of the lists; the first is /pal, the others /pal/2, /pal/3 ..."""

    def run(*lists, form="json", credentials=None, wait_s=None, **handlers):
        server = run.server = serve()
        media = f"application/{form}"
        for number, entries in enumerate(lists, start=1):
            body = entries if isinstance(entries, bytes) else listed(server, *entries, form=form)
            answer = http(200, body, ("Content-Type", media))
            server.handlers["pal" if number == 1 else str(number)] = lambda _, answer=answer: answer
        server.handlers.update(handlers)
        with EstClient(server.url, trusting(ca), clock=clock, credentials=credentials) as client:
            return client.packages.list(wait_s=wait_s)

    return run


@pytest.mark.parametrize("form", ["json", "xml"])
def test_p_01_p_13_p_14_lists_in_either_form(ask, form):
    """One after the other on one connection; what comes after 0001 does not count, and the order is the client's."""
    plan = ask(
        [("0026", "firmware/fw-7"), ("0001", "pal/2"), ("0027", "firmware/return")],
        [("0003", "eecerts"), ("0002", "cacerts")],
        form=form,
    )
    assert [step.kind.number for step in plan.steps] == ["0002", "0026", "0003"]
    seen = ask.server.seen
    assert [one.line for one in seen] == [f"GET {BASE}/pal", f"GET {BASE}/pal/2"]
    assert ask.server.connections == 1
    assert seen[0].header("Accept") == "application/json, application/xml;q=0.9"


def test_g_08_the_content_type_is_no_word_of_honour(ask, serve, ca, clock):
    server = serve(pal=lambda _: http(200, b"[]", ("Content-Type", "text/html")))
    with EstClient(server.url, trusting(ca), clock=clock) as client:
        assert client.packages.list().steps == ()


def test_p_21_credentials_and_requests_stay_here(ask, serve):
    """Entries and further lists of other servers are not followed, and nobody there is asked."""
    other = serve()
    challenge = http(401, b"", ("WWW-Authenticate", 'Basic realm="est"'))
    elsewhere = [("0026", f"{other.url}{BASE}/firmware"), ("0002", "cacerts")]
    plan = ask(elsewhere, credentials=LOGIN)
    assert [step.kind.number for step in plan.steps] == ["0002"]
    assert "0026" in [entry.type for entry, _ in plan.skipped]
    with pytest.raises(RemoteProtocolError, match="in a package list: not at"):
        ask([("0002", "cacerts"), ("0001", f"{other.url}{BASE}/pal/2")], credentials=LOGIN)
    with pytest.raises(RemoteProtocolError, match="in a package list: no https"):
        ask([("0002", "cacerts"), ("0001", f"http://127.0.0.1:1{BASE}/pal/2")], credentials=LOGIN)
    assert other.connections == 0
    answered = []

    def login(seen):
        answered.append(seen.header("Authorization"))
        return challenge if not answered[-1] else http(200, b"[]", ("Content-Type", "application/json"))

    ask(pal=login, credentials=LOGIN)
    assert answered[0] is None
    assert answered[1].startswith("Basic ")


@pytest.mark.parametrize("target", ["pal", "pal/2"])
def test_p_22_lists_that_lead_in_a_circle(ask, target):
    with pytest.raises(RemoteProtocolError, match="in a circle"):
        ask([("0002", "cacerts"), ("0001", "pal/2")], [("0002", "cacerts"), ("0001", target)])
    assert len(ask.server.seen) == 2


def test_p_22_lists_without_an_end(ask):
    def endless(seen):
        number = int(seen.target.rpartition("/")[2]) + 1 if seen.target[-1].isdigit() else 2
        ask.server.handlers[str(number)] = endless
        return http(200, listed(ask.server, ("0002", "cacerts"), ("0001", f"pal/{number}")))

    with pytest.raises(RemoteProtocolError, match="more than 16 package lists"):
        ask(pal=endless)
    assert len(ask.server.seen) == 16


BAD = {
    "0001 alone": ([("0001", "pal/2")], "nothing in it but"),
    "document type": (
        b'<!DOCTYPE pal SYSTEM "http://127.0.0.1:1/x"><pal xmlns="urn:ietf:params:xml:ns:pal"/>',
        "document type",
    ),
    "billion laughs": (
        b'<!DOCTYPE pal [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><pal>&b;</pal>',
        "document type",
    ),
    "another namespace": (b'<pal xmlns="urn:example"/>', "does not belong"),
    "an object": (b"{}", "array"),
    "nothing": (b"", "not JSON"),
    "HTML": (b"<html></html>", "does not belong"),
}


@pytest.mark.parametrize(("body", "says"), BAD.values(), ids=BAD)
def test_p_12_p_20_lists_that_are_none(ask, body, says):
    with pytest.raises(RemoteProtocolError, match=says) as caught:
        ask(body)
    assert caught.value.url.endswith("/.well-known/est/pal")


def test_g_14_a_list_that_is_too_large(ask):
    with pytest.raises(ResponseTooLargeError):
        ask(b" " * (1024 * 1024 + 1))


@pytest.mark.parametrize("status", [404, 204])
def test_amb_22_no_list(ask, status):
    assert ask(pal=lambda _: http(status, b"")).steps == ()


def test_p_03_refusals(ask):
    with pytest.raises(HttpStatusError) as caught:
        ask(pal=lambda _: http(403, b"not you", ("Content-Type", "text/plain")))
    assert (caught.value.status_code, caught.value.server_text) == (403, "not you")
    with pytest.raises(AuthenticationRequiredError):
        ask(pal=lambda _: http(401, b"", ("WWW-Authenticate", 'Basic realm="est"')))


def test_p_03_later(ask, clock):
    """202 and Retry-After, as for an enrolment (RFC 7030 section 4.2.3)."""
    later, now = http(202, b"", ("Retry-After", "7")), http(200, b"[]")
    with pytest.raises(EnrolmentPendingError):
        ask(pal=lambda _: later)
    assert ask(pal=[lambda _: later, lambda _: now], wait_s=60).steps == ()
    assert clock.slept == [7]
