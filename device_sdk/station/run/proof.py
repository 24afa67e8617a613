"""The proof that a device has the key of a certificate that counts: the station believes this, and no words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from device_sdk.client.bench import Proof
from device_sdk.client.bench.facts import PROOF_CONTEXT
from device_sdk.errors import DeviceSaysError, VerificationError, WrongDeviceError
from device_sdk.station.run.checks import UNREADABLE
from device_sdk.wire.path import find_path
from device_sdk.wire.path_inputs import PathInputs


@dataclass(frozen=True)
class Trust:
    """What certificates of devices have to lead to.

    Attributes:
        anchors: the trust anchors.
        intermediates: CA certificates that may be used on the way.
        lists: revocation lists.
    """

    anchors: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...] = ()
    lists: tuple[x509.CertificateRevocationList, ...] = ()


def check_proof(proof: Proof, nonce: bytes, trust: Trust, now: datetime) -> x509.Certificate:
    """The device has the key of a certificate that is valid now, and used it for this nonce.

    Args:
        proof: what it answered.
        nonce: what it was asked with, 32 bytes.
        trust: what the certificate has to lead to.
        now: the present.

    Returns:
        Its certificate.

    Raises:
        DeviceSaysError: the certificate cannot be read.
        WrongDeviceError: the signature is wrong: it does not have the key of this certificate.
        VerificationError: the certificate leads to no anchor, or is not valid now.
    """
    try:
        certificate = x509.load_der_x509_certificate(proof.certificate)
        public_key = certificate.public_key()
    except UNREADABLE as error:
        raise DeviceSaysError("the device proved itself with a certificate that cannot be read") from error
    message = PROOF_CONTEXT + nonce + certificate.fingerprint(hashes.SHA256())
    try:
        if isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(proof.signature, message, ec.ECDSA(hashes.SHA256()))
        elif isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(proof.signature, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            raise VerificationError("the device's certificate is for a key that is neither RSA nor of a curve")
    except InvalidSignature as error:
        raise WrongDeviceError("the device could not use the key of the certificate that it shows") from error
    _require_path(certificate, trust, now)
    return certificate


def _require_path(certificate: x509.Certificate, trust: Trust, now: datetime) -> None:
    find_path(
        certificate,
        intermediates=trust.intermediates,
        anchors=trust.anchors,
        now=now,
        inputs=PathInputs(lists=trust.lists),
    )
    if certificate in trust.anchors:
        raise VerificationError("the device's certificate is itself a trust anchor")
