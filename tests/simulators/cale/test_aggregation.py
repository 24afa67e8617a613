"""What an origination server makes of the answers of several resource servers (CALE-58)."""

from __future__ import annotations

import json

import pytest
from device_sdk_simulators.cale.aggregation import Aggregation
from device_sdk_simulators.cale.hops import HopTimeoutError, HopUnreachableError
from device_sdk_simulators.http.messages import Request, Response


def answering(status: int, body: bytes = b"", error: Exception | None = None):
    def hop(request: Request) -> Response:
        if error is not None:
            raise error
        return Response(status, [("Content-Type", "application/json")], body)

    return hop


@pytest.mark.parametrize(
    ("servers", "status", "expected"),
    [
        ([("/", answering(200, b'{"a": 1}')), ("/", answering(200, b'{"b": 2}'))], 200, {"a": 1, "b": 2}),
        ([("/", answering(200, b'{"a": 1}')), ("/", answering(200, b'{"a": 1, "b": 2}'))], 200, {"a": 1, "b": 2}),
        ([("/", answering(200, b'{"a": 1}')), ("/x", answering(200, b'{"b": 2}'))], 200, {"a": 1}),
        ([("/", answering(200, b'{"a": 1}')), ("/", answering(404))], 200, {"a": 1}),
        ([("/", answering(404)), ("/", answering(404))], 404, None),
        ([("/x", answering(200))], 404, None),
        ([], 404, None),
        ([("/", answering(200, b'{"a": 1}')), ("/", answering(200, b'{"a": 2}'))], 502, None),
        ([("/", answering(200, b'{"a": 1}')), ("/", answering(200, b"[1]"))], 502, None),
        ([("/", answering(200, b'{"a": 1}')), ("/", answering(200, b"no json"))], 502, None),
        ([("/", answering(200, b'{"a": 1}')), ("/", answering(200, b"[" * 100_000))], 502, None),
        ([("/", answering(200, b'{"a": true}')), ("/", answering(200, b'{"a": 1}'))], 502, None),
        ([("/", answering(200, b'{"a": [0]}')), ("/", answering(200, b'{"a": [false]}'))], 502, None),
        ([("/", answering(200, b'{"a": 1e400}')), ("/", answering(200, b'{"b": 1}'))], 502, None),
        ([("/", answering(200, b'{"a": NaN}')), ("/", answering(200, b'{"b": 1}'))], 502, None),
        ([("/", answering(200, b'{"a": 0.12345678901234567890}')), ("/", answering(200, b'{"b": 1}'))], 502, None),
        ([("/", answering(200, b'{"a": 1.50}')), ("/", answering(200, b'{"b": 1e3}'))], 200, {"a": 1.5, "b": 1000.0}),
        ([("/", answering(200, b'{"a": 1, "a": 2}')), ("/", answering(200, b'{"b": 1}'))], 502, None),
        ([("/", answering(200, b'{"a": 1}')), ("/", answering(403))], 403, None),
        ([("/", answering(200, b'{"a": 1}')), ("/", answering(0, error=HopTimeoutError()))], 504, None),
        ([("/", answering(200, b'{"a": 1}')), ("/", answering(0, error=HopUnreachableError()))], 502, None),
    ],
)
def test_aggregation_is_all_or_nothing(servers, status, expected):
    aggregation = Aggregation(servers)
    response = aggregation(Request("GET", "/data"))
    aggregation.close()
    assert response.status == status
    if expected is not None:
        assert json.loads(response.body) == expected
