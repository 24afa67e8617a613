"""The reference server keeps what became of an enrolment until it is fetched (RFC 8295 section 9; N-03, N-05, AMB-24)."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

from device_sdk.client.est import EstClient
from device_sdk.model.trust import ServerTrust, TlsIdentity
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


def establishing(device: Enrolled, operation: str) -> x509.Certificate:
    """What the device is given that asks for a certificate for key establishment, authenticated by that for signatures."""
    bits = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), False)
    bits |= dict.fromkeys(("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False)
    usage = x509.KeyUsage(key_agreement=True, **bits)
    csr = make_csr(None, device.certificate.subject, extensions=[(usage, True)])
    answer = post(device.server, csr, operation=operation, client=device.certificate)
    assert answer.status == 200, answer.body
    return certificates_in(answer)[0]


def test_n_01_n_05_the_two_certificates_of_a_device_are_kept_apart(server, enrol):
    """One for key establishment is offered where policy says so, renewed by itself, and has results of its own."""
    device = enrol()
    assert listed(device) == []
    server.policy.key_establishment = True
    assert listed(device) == ["0014"]
    first = establishing(device, "simpleenroll")
    assert listed(device) == ["0015"], "it has one now; whether it knows is not known"
    own = device.get("simpleenroll?use=KE")
    assert certificates(own[2])[0] == first
    assert listed(device) == []
    server.policy.pal_renewal = 0.0
    entries = json.loads(device.get("pal", "-H", "Accept: application/json")[2])
    due = {one["type"]: one["info"]["iasn"]["serial"] for one in entries if one["type"] in ("0010", "0017")}
    assert {kind: int(serial) for kind, serial in due.items()} == {
        "0010": device.certificate.serial_number,
        "0017": first.serial_number,
    }
    server.policy.pal_renewal = 1.0
    second, (_, after) = establishing(device, "simplereenroll"), renewed(device)
    assert listed(device) == ["0011", "0018"]
    assert certificates(device.get("simplereenroll?use=KE")[2])[0] == second
    assert certificates(device.get("simplereenroll")[2])[0] == after.certificate
    server.policy.redelivery = timedelta(seconds=-1)
    establishing(device, "simplereenroll")
    assert listed(after) == [], "it is never shown, and told of for a while only"


def test_n_03_results_of_full_cmc(server, enrol):
    """By GET as a Simple PKI Response, to who signed the request; not where certificates are confirmed."""
    device = enrol()
    server.policy.fullcmc = True
    assert device.get("fullcmc")[0] == 404
    assert listed(device) == []
    roots = tuple(x509.load_pem_x509_certificates(server.ca_file.read_bytes()))
    identity = TlsIdentity((device.certificate,), device.key)
    with EstClient(server.url, ServerTrust(explicit=roots), identity=identity) as client:
        found = client.fullcmc.renew(ec.generate_private_key(ec.SECP256R1())).enrolled
    assert found is not None
    issued = found.certificate
    assert listed(device) == ["0011"]
    status, _, body = device.get("fullcmc")
    assert (status, certificates(body)[0]) == (200, issued)
    assert listed(device) == []
    server.policy.fullcmc_confirm = True
    assert device.get("fullcmc")[0] == 404
