"""Who made a Full PKI Request: whose signature it carries, and what that one proved ("inner signature decides")."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cryptography import x509
from pyasn1_alt_modules import rfc6402

from device_sdk_simulators.cmc.message import Message
from device_sdk_simulators.cmc.pki_data import FullRequest
from device_sdk_simulators.cmc.proofs import check_identity_proof, check_pop_link
from device_sdk_simulators.cmc.refusal import BAD_IDENTITY, BAD_MESSAGE_CHECK, BAD_REQUEST, TRY_LATER, CmcRefusedError
from device_sdk_simulators.cmc.secrets import SecretProofs, user_of
from device_sdk_simulators.est.authorize import Client, Gatekeeper
from device_sdk_simulators.est.client_path import UnfitPathError, check_path, check_usage
from device_sdk_simulators.http.messages import HttpError, Request
from device_sdk_simulators.policy import Policy

_PROOFS = (rfc6402.id_cmc_identification, rfc6402.id_cmc_identityProofV2, rfc6402.id_cmc_popLinkRandom)


def identify_certificate(
    message: Message, request: Request, gatekeeper: Gatekeeper, policy: Policy, now: datetime
) -> Client:
    """Who signed with an existing certificate.

    Raises:
        CmcRefusedError: badMessageCheck if it does not count here, badIdentity if a password is needed with it.
    """
    certificate = _signer_certificate(message)
    message.verify(certificate.public_key())
    # the certificate inside counts as one shown to TLS would: from this CA or a known maker, current, not revoked
    inner = replace(request, tls=replace(request.tls, client_chain=(certificate,)))
    try:
        client = gatekeeper.identify(inner)
    except HttpError as error:
        raise _not_identified(error, BAD_MESSAGE_CHECK) from error
    try:
        check_usage(certificate, authority=client.registration_authority)
        if client.third_party:
            check_path(certificate, message.certificates, policy.third_party_anchors, now)
    except UnfitPathError as error:
        raise CmcRefusedError(BAD_MESSAGE_CHECK, str(error), http_status=403) from error
    return replace(client, others=message.certificates)


def identify_request_key(
    message: Message,
    full: FullRequest,
    csr: x509.CertificateSigningRequest,
    request: Request,
    gatekeeper: Gatekeeper,
    secrets: SecretProofs,
) -> Client:
    """Who signed with the key of the request: whoever knows a shared secret, or an HTTP user (section 3.2).

    Raises:
        CmcRefusedError: badMessageCheck, badIdentity, popFailed or tryLater.
    """
    assert message.signer is not None
    if _key_identifier(csr) != message.signer.key_identifier:
        raise CmcRefusedError(BAD_MESSAGE_CHECK, "the signer is not the key of the request (RFC 5272 section 3.2)")
    message.verify(csr.public_key())
    if rfc6402.id_cmc_identityProofV2 in full.controls:
        return _knows_secret(full, csr, request.source, secrets)
    try:
        client = gatekeeper.identify(request)
    except HttpError as error:
        raise _not_identified(error, BAD_IDENTITY) from error
    if not client.knows_password:
        raise CmcRefusedError(BAD_IDENTITY, "nothing proves who asks: no identityProofV2, no user", http_status=401)
    # what TLS showed counts for nothing here, nor the user behind it
    holder = client.user if client.srp_user is None else client.srp_user
    return replace(client, certificate=None, third_party=False, registration_authority=False, holder=holder)


def _not_identified(error: HttpError, fail_info: int) -> CmcRefusedError:
    """401 stays what it is, with its challenges: a client that has a password can show it (RFC 7030 section 3.2.3)."""
    if error.status == 401:
        text = error.text or "a right user name and password are needed"
        return CmcRefusedError(BAD_IDENTITY, text, http_status=401, headers=error.headers)
    if error.status == 429:
        return CmcRefusedError(TRY_LATER, error.text, http_status=429, headers=error.headers)
    status = 403 if fail_info == BAD_MESSAGE_CHECK else error.status
    return CmcRefusedError(fail_info, error.text.replace("TLS client", "signer's"), http_status=status)


def require_no_proofs(full: FullRequest) -> None:
    """RFC 5272 section 3.2: a message signed with an existing certificate has no identity proof beside it."""
    for oid in _PROOFS:
        if oid in full.controls:
            part = full.body_part(oid)
            raise CmcRefusedError(BAD_REQUEST, "identity proofs do not go with a certificate", body_parts=(part,))


def _knows_secret(full: FullRequest, csr: x509.CertificateSigningRequest, source: str, secrets: SecretProofs) -> Client:
    named = full.controls.get(rfc6402.id_cmc_identification)
    identification = None if named is None else str(named.value)

    def check(secret: bytes | None) -> None:
        # the same answer as for a wrong proof, so that names cannot be tried out
        known, name = (b"\0" * 32, "\0") if secret is None else (secret, identification)
        check_identity_proof(full, known, name)
        check_pop_link(full, csr, known)

    user = user_of(identification or "")
    secrets.prove(user, source, check)
    return Client(user, holder=user)


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
