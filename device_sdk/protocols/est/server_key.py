"""/serverkeygen: what is asked for, and what of the answer is believed (RFC 7030 section 4.4, RFC 8295 section 8)."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509

from device_sdk.errors import ClockError, ServerKeyError
from device_sdk.model.http import BodyBuilder, HttpRequest
from device_sdk.model.keys import KeyType, PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.model.shared_key import SharedKey
from device_sdk.protocols.est.issued import check_issued
from device_sdk.protocols.est.media import PKCS10
from device_sdk.protocols.est.server_key_answer import PKCS12, ServerKeyAnswer
from device_sdk.protocols.est.server_key_opened import Judgement, open_key
from device_sdk.protocols.est.server_key_request import DecryptionKey, ProtectionKey
from device_sdk.protocols.est.urls import EstEndpoint, Operation
from device_sdk.protocols.key_packages.layers import Trace
from device_sdk.wire.key_packages.receipts import ReceiptRequest
from device_sdk.wire.private_key import pkcs8_of


@dataclass(frozen=True)
class ServerKey:
    """A key that the server generated, and its certificate; both passed the checks.

    Attributes:
        certificate: the one for the key.
        chain: the certificate first, then the CA certificates up to the anchor, which is left out if it is self-signed.
        anchor: the Explicit trust anchor it leads to.
        private_key: DER PrivateKeyInfo (RFC 5958), not encrypted.
        differences: how the certificate differs from the request, in words; both standards' samples have another subject.
        requests: the identifiers of the package the key came in, and whether receipts are wanted (AR-01).
        signers: certificates of those who signed that package, outermost first; for RFC 7030's own form it is empty.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    anchor: x509.Certificate
    private_key: Secret = field(repr=False)
    differences: tuple[str, ...] = ()
    requests: tuple[ReceiptRequest, ...] = ()
    signers: tuple[x509.Certificate, ...] = ()


def serverkeygen_request(
    endpoint: EstEndpoint, body: bytes | BodyBuilder, *, target: str | None = None, pkcs12: bool = False
) -> HttpRequest:
    """POST /serverkeygen; the body is that of an enrolment (RFC 7030 section 4.4.1).

    Args:
        endpoint: the service.
        body: the CSR, or what makes it.
        target: the request target an entry of the package list has; by default that of the operation.
        pkcs12: ask for PKCS#12; RFC 8295 has no way to, so it is done by Accept (AMB-03).
    """
    headers = (("Content-Type", PKCS10), *((("Accept", PKCS12),) if pkcs12 else ()))
    name = Operation.SERVERKEYGEN.value if target else ""
    return HttpRequest("POST", target or endpoint.target(Operation.SERVERKEYGEN), headers, body, operation=name)


def check_server_key(
    answer: ServerKeyAnswer,
    csr: x509.CertificateSigningRequest,
    protection: ProtectionKey | None,
    judgement: Judgement,
    trace: Trace | None = None,
) -> ServerKey:
    """Open the key, and make sure that it and its certificate are what was asked for (EST-196 to EST-198).

    Args:
        answer: as it was read.
        csr: what was sent; its key and, in practice, its subject are not those of the certificate.
        protection: the key the request named; None if none was, and the key may come in the clear.
        judgement: what the answer is held against.
        trace: filled on the way where the key came in a package of RFC 8295, for the error that goes back.

    Raises:
        ServerKeyError: a clear key where an encrypted one was asked for, or the reverse; not a signed key package; not a
            key; the certificate is for another key; another type than was asked for; a connection weaker than the key that came in the clear.
        EnvelopeError: the protection key does not open it.
        VerificationError: nobody trusted signed it; KeyPackageUntrustedError for a package of RFC 8295 section 8.1.
        KeyPackageRefusedError: such a package that is not encrypted, or has too many signers or layers.
        Pkcs12PasswordError: a PKCS#12 file that the password does not open.
        CertificateMismatchError: see check_issued.
        ClockError: the certificate is not valid yet; the error has it and the key, neither of which can be asked for again.
        KeyStoreError: the protection key cannot be used.
    """
    opened = open_key(answer, protection, judgement, trace)
    key, certificates = opened.key, (*(answer.certificates or opened.certificates), *judgement.known)
    _require_type(key, judgement)
    if not any(one.public_key() == key.public_key() for one in certificates):
        raise ServerKeyError(
            f"{judgement.url}: no certificate of the answer is for the private key beside it",
            url=judgement.url,
            certificate_missing=answer.pkcs12 is None and not answer.certificates,
        )
    try:
        enrolled = check_issued(
            certificates,
            csr,
            anchors=judgement.anchors,
            intermediates=judgement.intermediates,
            now=judgement.now,
            url=judgement.url,
            public_key=key.public_key(),
            lists=judgement.lists,
            ignored=judgement.ignored,
            same_names=judgement.same_names,
        )
    except ClockError as error:
        # nobody can ask for this key again, and the certificate is nothing without it
        error.private_key = pkcs8_of(key)
        error.hint = (
            "keep the private key and the certificate of this error; set the clock before they are used, or wait"
        )
        raise
    return ServerKey(
        enrolled.certificate,
        enrolled.chain,
        enrolled.anchor,
        pkcs8_of(key),
        enrolled.differences,
        opened.requests,
        opened.signers,
    )


def _require_type(key: PrivateKey, judgement: Judgement) -> None:
    """A-08: where a type was asked for in so many words, another one is another key."""
    found = KeyType.of(key.public_key())
    if judgement.key_type not in (None, found):
        raise ServerKeyError(
            f"{judgement.url}: the server made a key of type {found.value}, and {judgement.key_type.value} was asked for",
            hint="ask for no type, or have the server's operator allow this one",
            url=judgement.url,
        )


__all__ = [
    "DecryptionKey",
    "Judgement",
    "ProtectionKey",
    "ServerKey",
    "SharedKey",
    "check_server_key",
    "serverkeygen_request",
]
