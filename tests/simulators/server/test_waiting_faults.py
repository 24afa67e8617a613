"""Faults that make clients wait: every form of Retry-After, overload, and a head that drips."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from device_sdk_simulators.faults import Faults, UnknownFaultError
from device_sdk_simulators.http.messages import Request
from device_sdk_simulators.http.wire_faults import send_spoilt

from tests.simulators.server.support import EST

DATES = {
    "date": "Fri, 02 Jan 2026 00:00:02 GMT",
    "rfc850": "Friday, 02-Jan-26 00:00:02 GMT",
    "asctime": "Fri Jan  2 00:00:02 2026",
}


@pytest.mark.parametrize(
    ("value", "status", "retry_after"),
    [
        (True, 503, "1"),
        ("429 7", 429, "7"),
        ("503 none", 503, None),
        ("none", 503, None),
        ("in a while", 503, "in a while"),
        *((f"429 {name}", 429, text) for name, text in DATES.items()),
    ],
)
def test_overload(server, value, status, retry_after):
    server.clock = lambda: datetime(2026, 1, 2, tzinfo=UTC)
    server.faults.overload = value
    response = server.handle(Request("GET", EST + "cacerts"))
    assert (response.status, dict(response.headers).get("Retry-After")) == (status, retry_after)


@pytest.mark.parametrize("name", DATES)
def test_rfc_9110_section_5_6_7_dates_of_a_202(server, name):
    server.clock = lambda: datetime(2026, 1, 2, tzinfo=UTC)
    server.faults.retry_after = name
    assert dict(server.handle(Request("GET", EST + "cacerts")).headers)["Retry-After"] == DATES[name]


@pytest.mark.parametrize("wrong", ["overload= ", "drip_head=-1", "drip-head=x"])
def test_values_that_make_no_sense(wrong):
    with pytest.raises(UnknownFaultError):
        Faults().parse(wrong)


def test_a_head_that_drips(server):
    sent, slept = [], []
    response = server.handle(Request("GET", EST + "cacerts"))
    response.wire = {"drip_head": "0.1"}
    send_spoilt(response, datetime.now(UTC), sent.append, slept.append)
    head, _, body = b"".join(sent).partition(b"\r\n\r\n")
    assert all(len(piece) == 1 for piece in sent[:-1])
    assert sent[-1] == body == response.body
    assert slept == [0.1] * (len(head) + 4)
