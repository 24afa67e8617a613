"""What a revoked CA issues is not used, by whatever operation it comes (C-05; RFC 5280 section 6.1.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from device_sdk_simulators.est.multipart import multipart

from device_sdk.client.est import EstClient
from device_sdk.client.est.full_cmc import SharedSecret
from device_sdk.errors import CertificateMismatchError
from device_sdk.model.secret import Secret
from tests.est.answers import SPEC, bag, issued, trusting
from tests.est.full_cmc_answers import request_of
from tests.est.pki import Ca, certs_only, new_key, one_line
from tests.est.scripted_server import http, pkcs7
from tests.packages.test_crls import crl

SHARED = SharedSecret(Secret("sixteen or more characters"), "device 1")
OPERATIONS = {
    "simpleenroll": lambda client: client.enroll(new_key(), SPEC),
    "fullcmc": lambda client: client.fullcmc.enroll(new_key(), SPEC, shared_secret=SHARED).enrolled,
    "serverkeygen": lambda client: client.serverkeygen(SPEC, allow_clear=True),
}


def generated(issuing: Ca):
    key = new_key()
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    media, body = multipart(
        ("application/pkcs8", der),
        ("application/pkcs7-mime; smime-type=certs-only", certs_only(issuing.certify("device 1", key.public_key()))),
    )
    return http(200, body, ("Content-Type", media))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_c_05_the_issuing_ca_was_revoked(ca, serve, clock, operation):
    issuing = ca.issue_ca("Issuing")
    server = serve(
        cacerts=bag(ca.certificate, issuing.certificate),
        simpleenroll=lambda seen: pkcs7(issued(issuing, seen)),
        fullcmc=lambda seen: pkcs7(one_line(certs_only(issuing.certify_csr(request_of(seen).request.der)))),
        serverkeygen=lambda _: generated(issuing),
    )
    for lists, good in (((crl(ca),), True), ((crl(ca, issuing.certificate),), False)):
        with EstClient(server.url, replace(trusting(ca), lists=lists), clock=clock) as client:
            if good:
                assert OPERATIONS[operation](client).certificate.issuer == issuing.certificate.subject
                continue
            with pytest.raises(
                CertificateMismatchError, match=r"CN=Issuing, which is not used .*: revoked on "
            ) as caught:
                OPERATIONS[operation](client)
        assert caught.value.url == f"{server.url}/.well-known/est/{operation}"
