"""The reference server keeps what became of an enrolment until it is fetched (RFC 8295 section 9; N-03, N-05, AMB-24)."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from tests.simulators.packages.conftest import Enrolled
from tests.simulators.server.support import certificates_in, make_csr, name, post

pytestmark = pytest.mark.slow


def listed(device: Enrolled) -> list[str]:
    entries = json.loads(device.get("pal", "-H", "Accept: application/json")[2])
    return [one["type"] for one in entries if "0006" <= one["type"] <= "0019"]


def certificates(body: bytes) -> list[x509.Certificate]:
    import base64

    return pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))


def renewed(device: Enrolled) -> tuple[int, Enrolled]:
    """Renew; whether the answer arrives does not matter to the server. The status, and the device with its new certificate."""
    csr = make_csr(device.key, device.certificate.subject)
    answer = post(device.server, csr, operation="simplereenroll", client=device.certificate)
    if answer.status != 200:
        return answer.status, device
    return 200, Enrolled(device.server, device.directory, certificates_in(answer)[0], device.key)


def test_n_03_n_05_a_result_is_there_until_it_was_fetched_and_a_while_longer(server, enrol):
    device, other = enrol("dev-1"), enrol("dev-2")
    assert device.get("simplereenroll")[0] == 404, "nothing was asked for"
    status, after = renewed(device)
    assert (status, listed(device)) == (200, ["0011"])
    assert other.get("simplereenroll")[0] == 404, "each client has its own"
    assert listed(after) == [], "who shows it has it"
    for _ in range(2):
        status, media_type, body = device.get("simplereenroll")
        assert (status, media_type) == (200, "application/pkcs7-mime; smime-type=certs-only")
        assert certificates(body)[0] == after.certificate
    assert listed(device) == []
    server.policy.redelivery = timedelta(seconds=-1)
    assert device.get("simplereenroll")[0] == 404
    assert device.get("simpleenroll")[0] == 404


def test_amb_24_waiting_approved_denied(server, enrol):
    device = enrol()
    server.policy.require_approval = True
    assert renewed(device)[0] == 202
    assert listed(device) == []
    assert device.get("simplereenroll")[0] == 202
    server.est.queue.decide(None, approve=True)
    assert listed(device) == ["0011"]
    status, _, body = device.get("simplereenroll")
    assert (status, certificates(body)[0].subject) == (200, name("dev-1"))
    assert listed(device) == []
    assert renewed(Enrolled(server, device.directory, certificates(body)[0], device.key))[0] == 202
    server.est.queue.decide(None, approve=False)
    assert listed(device) == ["0012"]
    status, media_type, body = device.get("simplereenroll")
    assert (status, body.strip()) == (403, b"the request was denied")
    assert media_type.startswith("text/plain")
    assert listed(device) == []


def test_n_02_results_are_for_who_proves_to_be_the_client(server, enrol):
    from tests.simulators.packages.conftest import curl

    renewed(enrol())
    assert curl(server, "simplereenroll")[0] == 401
    server.policy.packages = False
    assert curl(server, "simplereenroll")[0] == 405
