"""Reads a PKCS#10 request whose key and signature do not count: /serverkeygen (RFC 7030 section 4.4.1, EST-191)."""

from __future__ import annotations

from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk_simulators.est.attributes import bindings, mac_address, read_attributes
from device_sdk_simulators.est.csr import PARSE_ERRORS, CertificationRequest, parse_csr
from device_sdk_simulators.est.csr_extensions import check_extensions
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.policy import Policy


def read_keyless_csr(der: bytes, policy: Policy) -> CertificationRequest:
    """Parse and check all but key and signature; HttpError 400 says what is wrong.

    `public_key` is the request's, if it is EC or RSA, for its type alone; `spki_sha256` is empty, so that a request that
    waits is known whatever key its next copy has.
    """
    try:
        csr = parse_csr(der)
        attributes = read_attributes(csr)
        extensions = csr.extensions
    except PARSE_ERRORS as error:
        raise HttpError(400, f"not a PKCS#10 request this server can read: {error}") from error
    public_key: object = None
    with suppress(*PARSE_ERRORS):
        public_key = csr.public_key()
    if not isinstance(public_key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        public_key = ec.generate_private_key(ec.SECP256R1()).public_key()
    try:
        check_extensions(csr, extensions, public_key, policy)
    except PARSE_ERRORS as error:
        raise HttpError(400, f"not a PKCS#10 request this server can read: {error}") from error
    mac = mac_address(attributes, extensions)
    return CertificationRequest(csr, public_key, extensions, "", mac, bindings(attributes))
