"""PKIData, the content of a Full PKI Request (RFC 5272 section 3.2.1, EST-205)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509

from device_sdk.errors import ConfigurationError
from device_sdk.model.secret import Secret
from device_sdk.wire import der
from device_sdk.wire.cmc import oids

REQUEST_BODY_PART = 1
"""Body part of the certification request; controls are counted from the next number on."""

REASONS = {
    "unspecified": 0,
    "keyCompromise": 1,
    "cACompromise": 2,
    "affiliationChanged": 3,
    "superseded": 4,
    "cessationOfOperation": 5,
    "certificateHold": 6,
    "removeFromCRL": 8,
    "privilegeWithdrawn": 9,
    "aACompromise": 10,
}
"""CRLReason (RFC 5280 section 5.3.1)."""


@dataclass(frozen=True)
class Control:
    """One control: its OID and the DER of its one value."""

    oid: str
    value: bytes = field(repr=False)


def request_sequence(csr: bytes | None) -> bytes:
    """The reqSequence: a PKCS#10 request as tcr [0], or nothing; what an identity proof is computed over."""
    if csr is None:
        return der.sequence()
    return der.sequence(der.tlv(0xA0, der.integer(REQUEST_BODY_PART) + csr))


def pki_data(controls: Sequence[Control], requests: bytes) -> bytes:
    """DER of a PKIData without nested messages.

    Args:
        controls: in the order they are numbered.
        requests: of `request_sequence`.
    """
    tagged = (
        der.sequence(der.integer(number), der.oid(control.oid), der.set_of([control.value]))
        for number, control in enumerate(controls, start=REQUEST_BODY_PART + 1)
    )
    return der.sequence(der.sequence(*tagged), requests, der.sequence(), der.sequence())


def octets(oid: str, value: bytes) -> Control:
    """A control whose value is an OCTET STRING: the nonces, queryPending, popLinkRandom."""
    return Control(oid, der.tlv(0x04, value))


def transaction_id(number: int) -> Control:
    """TransactionId (section 6.6)."""
    return Control(oids.TRANSACTION_ID, der.integer(number))


def identification(name: str) -> Control:
    """Identification (section 6.2.3), UTF-8."""
    return Control(oids.IDENTIFICATION, der.tlv(0x0C, name.encode()))


def success_status() -> Control:
    """StatusInfoV2 of a client that accepts what it got (section 6.14, step 3): success, about the whole."""
    return Control(oids.STATUS_INFO_V2, der.sequence(der.integer(0), der.sequence(der.integer(0))))


def certificate_id(certificate: x509.Certificate) -> Control:
    """ConfirmCertAcceptance (section 6.14): issuer and serial number of the certificate that is accepted."""
    value = der.sequence(certificate.issuer.public_bytes(), der.integer(certificate.serial_number))
    return Control(oids.CONFIRM_CERT_ACCEPTANCE, value)


def revoke_request(
    certificate: x509.Certificate, reason: str, *, shared_secret: Secret | None = None, comment: str | None = None
) -> Control:
    """RevokeRequest (section 6.11).

    Args:
        certificate: the one to revoke.
        reason: one of REASONS.
        shared_secret: sent in the clear, for a client that lost its key; it is good for nothing afterwards.
        comment: for people.

    Raises:
        ConfigurationError: no such reason.
    """
    if reason not in REASONS:
        raise ConfigurationError(f"{reason!r} is no reason for a revocation", hint="one of " + ", ".join(REASONS))
    value = der.sequence(
        certificate.issuer.public_bytes(),
        der.integer(certificate.serial_number),
        der.tlv(0x0A, bytes([REASONS[reason]])),
        der.tlv(0x04, shared_secret.reveal()) if shared_secret is not None else b"",
        der.tlv(0x0C, comment.encode()) if comment else b"",
    )
    return Control(oids.REVOKE_REQUEST, value)
