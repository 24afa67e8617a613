"""A crls-only message (RFC 8295 section 4.2): SignedData without signers and content, with revocation lists."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyasn1.codec.der import decoder, encoder
from pyasn1_alt_modules import rfc5280, rfc5652


def crls_only(lists: Sequence[x509.CertificateRevocationList]) -> bytes:
    """DER."""
    signed = rfc5652.SignedData()
    signed["version"] = 1
    signed["digestAlgorithms"].clear()
    signed["encapContentInfo"]["eContentType"] = rfc5652.id_data
    for one in lists:
        found, _ = decoder.decode(one.public_bytes(Encoding.DER), asn1Spec=rfc5280.CertificateList())
        choice = rfc5652.RevocationInfoChoice()
        choice["crl"] = found
        signed["crls"].append(choice)
    signed["signerInfos"].clear()
    info = rfc5652.ContentInfo()
    info["contentType"] = rfc5652.id_signedData
    info["content"] = encoder.encode(signed)
    written: bytes = encoder.encode(info)
    return written
