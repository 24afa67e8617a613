"""The client and the reference server in trouble: every fault that has to do with waiting, HTTP and connections."""

from __future__ import annotations

from itertools import pairwise

import pytest
from cryptography import x509
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.est import Credentials, EstClient
from device_sdk.errors import (
    DeviceSdkError,
    HttpStatusError,
    RemoteProtocolError,
    TransportError,
    TransportTimeoutError,
    TruncatedResponseError,
)
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from device_sdk.transports.base import Timeouts
from tests.est.pki import name, new_key

SPEC = CsrSpec(name("device 1"))


def client_of(server: ReferenceServer, **options) -> EstClient:
    anchors = tuple(x509.load_pem_x509_certificates(server.ca_file.read_bytes()))
    login = Credentials(server.user, Secret(server.password_file.read_text().strip()))
    return EstClient(server.url, ServerTrust(anchors), credentials=login, **options)


@pytest.mark.parametrize("value", ["3", "date", "rfc850", "asctime", "none"])
@pytest.mark.parametrize("fault", ["retry_after", "overload"])
def test_est_161_est_162_every_form_of_retry_after(est_server, clock, fault, value):
    est_server.faults.set(fault, value, times=1, operation="simpleenroll")
    with client_of(est_server, clock=clock) as client:
        assert client.enroll(new_key(), SPEC, wait_s=120).certificate
    (slept,) = clock.slept
    bounds = {"3": (3, 3.4), "none": (60, 60) if fault == "retry_after" else (1, 2)}
    low, high = bounds.get(value, (1, 2.3))
    assert low <= slept <= high


@pytest.mark.parametrize(
    "fault", ["chunked", "wrap", "lower_case", "split", "no_length", "ber", "unordered", "http10", "interim", "close"]
)
def test_oddities_that_are_no_trouble(est_server, fault):
    setattr(est_server.faults, fault, True)
    with client_of(est_server) as client:
        assert client.enroll(new_key(), SPEC).certificate


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "value", "error"),
    [
        ("truncate", "", TruncatedResponseError),
        ("truncate_quietly", "", TruncatedResponseError),
        ("no_length_no_notify", "", TruncatedResponseError),
        ("reset", "", TransportError),
        ("drip", "0.2", TransportTimeoutError),
        ("drip_head", "0.2", TransportTimeoutError),
        ("delay", "5", TransportTimeoutError),
        ("length", "", TransportError),
        ("length", "100000000", TransportError),
        ("big_header", "", RemoteProtocolError),
        ("status", "500", HttpStatusError),
        ("status", "502", HttpStatusError),
        ("status", "503", HttpStatusError),
        ("redirect", "http://localhost:1/", DeviceSdkError),
    ],
)
def test_est_16_trouble_ends_in_time_and_in_a_typed_error(est_server, fault, value, error):
    est_server.faults.set(fault, value, operation="simpleenroll")
    # where an error is not about time, a busy machine has enough of it
    may_be_late = issubclass(TransportTimeoutError, error)
    timeouts = Timeouts(2, 0.6, 1) if may_be_late else Timeouts(20, 20, 60)
    with client_of(est_server, timeouts=timeouts) as client, pytest.raises(error) as caught:
        client.enroll(new_key(), SPEC)
    assert est_server.url in str(caught.value)
    est_server.faults.clear()
    with client_of(est_server) as client:
        assert client.enroll(new_key(), SPEC).certificate


def test_ipv6_from_end_to_end(tmp_path):
    with ReferenceServer(tmp_path / "server", host="::1") as server:
        assert server.url.startswith("https://[::1]:")
        with client_of(server) as client:
            assert client.enroll(new_key(), SPEC).certificate
        with client_of(server, label=None) as client:
            assert client.cacerts().anchors


def test_est_12_connections_are_counted(est_server):
    """Three operations and their challenges go over one connection; after a bound request a new one is made (EST-100)."""
    with client_of(est_server) as client:
        client.cacerts()
        client.csrattrs()
        client.enroll(new_key(), SPEC)
        client.cacerts()
    numbers = [entry["connection"] for entry in est_server.log()]
    assert len(set(numbers)) == 2
    assert [a != b for a, b in pairwise(numbers)].count(True) == 1
