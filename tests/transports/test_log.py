"""One line in the log for each exchange, and no secret in any of them."""

from __future__ import annotations

import logging

import pytest

from device_sdk.errors import ServerNotTrustedError, TransportError, TransportTimeoutError
from device_sdk.model.trust import ServerTrust
from device_sdk.transports.base import Timeouts
from device_sdk.transports.https.log import logfmt
from tests.transports.conftest import get, post
from tests.transports.pki import Ca
from tests.transports.proxies import ConnectProxy
from tests.transports.servers import OK, answering

CANARY = "c4n4ry"


@pytest.fixture
def lines(caplog):
    """The dicts of the log, in order."""
    caplog.set_level(logging.INFO, logger="device_sdk.exchange")
    return lambda: [record.exchange for record in caplog.records if record.name == "device_sdk.exchange"]


def test_one_line_for_each_exchange(serve, connect, identity, ca, lines):
    transport = connect(serve(client_ca=ca), identity=identity)
    transport.send(get())
    transport.send(post(b"x" * 1000, operation="simpleenroll", attempt=3))
    first, second = lines()
    assert (first["operation"], first["method"], first["status"], first["attempt"]) == ("cacerts", "GET", 200, 1)
    assert (second["operation"], second["attempt"], second["outcome"]) == ("simpleenroll", 3, "answered")
    assert first["url"] == f"{transport.origin}/.well-known/est/cacerts"
    assert (first["reused"], second["reused"]) == (False, True)
    assert first["connection"] == second["connection"]
    assert first["tls"] == "TLSv1.3"
    assert first["cipher"].startswith("TLS_")
    assert first["auth"] == "tls"
    assert 1000 < second["sent_bytes"] < 1400
    assert second["received_bytes"] == len(OK)
    assert 0 < first["duration_ms"] < 20_000
    assert first["time"].endswith("Z")


def test_a_new_connection_has_another_number(serve, connect, lines):
    transport = connect(serve())
    transport.send(get())
    transport.close()
    transport.send(get())
    first, second = lines()
    assert first["connection"] != second["connection"]
    assert not second["reused"]


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ((), "none"),
        ((("Authorization", f"Basic {CANARY}"),), "basic"),
        ((("Authorization", f'Digest username="u", response="{CANARY}"'),), "digest"),
        ((("Authorization", CANARY),), "other"),
    ],
)
def test_the_scheme_and_no_more_of_it(header, shown, serve, connect, lines, caplog):
    connect(serve()).send(post(CANARY.encode(), headers=header))
    assert lines()[0]["auth"] == shown
    assert CANARY not in caplog.text


def test_no_query(serve, connect, lines, caplog):
    connect(serve()).send(get(f"/x/cacerts?token={CANARY}"))
    assert lines()[0]["url"].endswith("/x/cacerts")
    assert CANARY not in caplog.text


def test_failures_have_a_line_too(serve, connect, lines):
    def first(connection):
        connection.request()

    with pytest.raises(TransportError):
        connect("https://127.0.0.1:1").send(get())
    with pytest.raises(TransportTimeoutError):
        connect(serve(lambda c: (c.request(), c.request())), timeouts=Timeouts(5, 0.2, 5)).send(get())
    with pytest.raises(ServerNotTrustedError):
        connect(serve(), trust=ServerTrust((Ca().certificate,))).send(get())
    connect(serve([first, answering(OK)])).send(get())
    found = lines()
    assert [line["outcome"] for line in found] == [
        "transport",
        "timeout",
        "server-not-trusted",
        "transport",
        "answered",
    ]
    assert [line["status"] for line in found] == [None] * 4 + [200]
    assert [line["sent_bytes"] > 0 for line in found] == [False, True, False, True, True]
    assert "connection" not in found[0]


def test_a_proxys_password_is_in_no_line(serve, connect, lines, caplog):
    with ConnectProxy() as proxy:
        connect(serve(), proxy=f"http://me:{CANARY}@127.0.0.1:{proxy.port}").send(get())
    assert len(lines()) == 1
    assert CANARY not in caplog.text


def test_logfmt_is_one_line_that_can_be_read_back():
    text = logfmt({"a": 'x "y"\n', "b": True, "c": None, "d": 1.5, "e": "a=b", "f": ""})
    assert text == r'a="x \"y\"\n" b=true d=1.5 e="a=b" f=""'


def test_nothing_is_computed_when_nobody_listens(serve, connect, caplog):
    caplog.set_level(logging.WARNING, logger="device_sdk.exchange")
    connect(serve()).send(get())
    assert not [record for record in caplog.records if record.name == "device_sdk.exchange"]
