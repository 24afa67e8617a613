"""Answers of a scripted EST server that the tests share."""

from __future__ import annotations

import base64

from cryptography import x509

from device_sdk.model.csr import CsrSpec
from device_sdk.model.trust import ServerTrust
from tests.est.pki import Ca, certs_only, name, one_line
from tests.est.scripted_server import Handler, Reply, Seen, pkcs7

SPEC = CsrSpec(subject=name("device 1"))


def csr_of(seen: Seen) -> bytes:
    """DER of the CSR in a request."""
    return base64.b64decode(seen.body)


def issued(ca: Ca, seen: Seen, **options) -> bytes:
    """Base64 of a certs-only message with the certificate that was asked for."""
    return one_line(certs_only(ca.certify_csr(csr_of(seen), **options)))


def issue(ca: Ca, **options) -> Handler:
    """Answers an enrolment as it should be."""

    def answer(seen: Seen) -> Reply:
        return pkcs7(issued(ca, seen, **options))

    return answer


def bag(*certificates: x509.Certificate) -> Handler:
    """Answers with these certificates, whatever was asked."""
    return lambda seen: pkcs7(one_line(certs_only(*certificates)))


def trusting(ca: Ca) -> ServerTrust:
    return ServerTrust(explicit=(ca.certificate,))
