"""Who made a Full PKI Request: whose signature it carries, and what that one proved ("inner signature decides")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from pyasn1_alt_modules import rfc6402

from device_sdk_simulators.cmc.message import Message
from device_sdk_simulators.cmc.pki_data import FullRequest
from device_sdk_simulators.cmc.proofs import check_identity_proof, check_pop_link
from device_sdk_simulators.cmc.refusal import BAD_IDENTITY, BAD_MESSAGE_CHECK, BAD_REQUEST, CmcRefusedError
from device_sdk_simulators.cmc.store import CmcStore
from device_sdk_simulators.est.authorize import Client, Gatekeeper
from device_sdk_simulators.http.messages import HttpError, Request
from device_sdk_simulators.policy import Policy

_MAX_CHAIN = 5
_PROOFS = (rfc6402.id_cmc_identification, rfc6402.id_cmc_identityProofV2, rfc6402.id_cmc_popLinkRandom)


def identify_certificate(message: Message, request: Request, gatekeeper: Gatekeeper, policy: Policy) -> Client:
    """Who signed with an existing certificate; CmcRefusedError (badMessageCheck) if that does not count here."""
    certificate = _signer_certificate(message)
    message.verify(certificate.public_key())
    # the certificate inside counts as one shown to TLS would: from this CA or a known maker, current, not revoked
    inner = replace(request, tls=replace(request.tls, client_chain=(certificate,)))
    try:
        client = gatekeeper.identify(inner)
    except HttpError as error:
        text = error.text or "wrong user name or password"
        raise CmcRefusedError(BAD_MESSAGE_CHECK, text.replace("TLS client", "signer's"), http_status=403) from error
    if client.third_party and not _leads_to(certificate, message.certificates, policy.third_party_anchors):
        raise CmcRefusedError(BAD_MESSAGE_CHECK, "nobody known issued the signer's certificate", http_status=403)
    return client


def identify_request_key(
    message: Message,
    full: FullRequest,
    csr: x509.CertificateSigningRequest,
    request: Request,
    gatekeeper: Gatekeeper,
    store: CmcStore,
) -> Client:
    """Who signed with the key of the request: whoever knows a shared secret, or an HTTP user (section 3.2).

    Raises:
        CmcRefusedError: badMessageCheck, badIdentity or popFailed.
    """
    assert message.signer is not None
    if _key_identifier(csr) != message.signer.key_identifier:
        raise CmcRefusedError(BAD_MESSAGE_CHECK, "the signer is not the key of the request (RFC 5272 section 3.2)")
    message.verify(csr.public_key())
    if rfc6402.id_cmc_identityProofV2 in full.controls:
        return _knows_secret(full, csr, store)
    try:
        client = gatekeeper.identify(request)
    except HttpError as error:
        text = error.text or "wrong user name or password"
        raise CmcRefusedError(BAD_IDENTITY, text, http_status=error.status) from error
    if not client.knows_password:
        raise CmcRefusedError(BAD_IDENTITY, "nothing proves who asks: no identityProofV2, no user", http_status=401)
    return replace(client, certificate=None, third_party=False, registration_authority=False)


def require_no_proofs(full: FullRequest) -> None:
    """RFC 5272 section 3.2: a message signed with an existing certificate has no identity proof beside it."""
    for oid in _PROOFS:
        if oid in full.controls:
            part = full.body_part(oid)
            raise CmcRefusedError(BAD_REQUEST, "identity proofs do not go with a certificate", body_parts=(part,))


def _knows_secret(full: FullRequest, csr: x509.CertificateSigningRequest, store: CmcStore) -> Client:
    named = full.controls.get(rfc6402.id_cmc_identification)
    identification = None if named is None else str(named.value)
    secret = store.secret(identification or "")
    if secret is None:
        # the same answer as for a wrong proof, so that names cannot be tried out
        secret, identification = b"\0" * 32, "\0"
    check_identity_proof(full, secret, identification)
    check_pop_link(full, csr, secret)
    return Client(user=f"cmc:{identification or ''}")


def _signer_certificate(message: Message) -> x509.Certificate:
    assert message.signer is not None
    named = message.signer.issuer_and_serial
    for certificate in message.certificates:
        if named == (certificate.issuer.public_bytes(), certificate.serial_number):
            return certificate
    raise CmcRefusedError(BAD_MESSAGE_CHECK, "the signer's certificate does not come with the message")


def _key_identifier(csr: x509.CertificateSigningRequest) -> bytes | None:
    try:
        return csr.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except (x509.ExtensionNotFound, ValueError, x509.DuplicateExtension):
        return None


def _leads_to(
    certificate: x509.Certificate, others: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]
) -> bool:
    """Whether a maker's anchor issued a certificate, directly or by intermediates that came along."""
    for _ in range(_MAX_CHAIN):
        if any(_issued(certificate, anchor) for anchor in anchors):
            return True
        above = next((other for other in others if other != certificate and _issued(certificate, other)), None)
        if above is None or not _is_ca(above):
            return False
        certificate = above
    return False


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
