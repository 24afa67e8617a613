"""Certs-only CMS messages (RFC 5272 section 4.1): SignedData without signers, content or CRLs."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from device_sdk_simulators.est.odd_cms import odd_certs_only


def certs_only(certificates: Sequence[x509.Certificate]) -> bytes:
    """DER, with the certificates in the order a DER SET OF has (EST-46)."""
    if not certificates:
        return odd_certs_only([])
    return pkcs7.serialize_certificates(list(certificates), Encoding.DER)
