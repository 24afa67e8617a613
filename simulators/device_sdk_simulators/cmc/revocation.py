"""Revocation by CMC (RFC 5272 section 6.11): by the certificate's own holder, an RA, or who knows the shared secret."""

from __future__ import annotations

import hmac

from cryptography import x509
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc6402

from device_sdk_simulators.ca.names import same_name
from device_sdk_simulators.cmc.pki_data import Control
from device_sdk_simulators.cmc.refusal import BAD_CERT_ID, BAD_IDENTITY, BAD_REQUEST, CmcRefusedError
from device_sdk_simulators.cmc.store import CmcStore
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.site import Site

_BY_SECRET = "user:cmc:"  # noqa: S105 - what identities of clients with a shared secret begin with


def revoke(control: Control, client: Client | None, site: Site, database: Database, store: CmcStore) -> str:
    """Revoke what the control names, and keep the reason; gives the serial number in hex.

    What is revoked already stays so and counts as done: the client may have lost the answer.

    Raises:
        CmcRefusedError: badCertId, badIdentity or badRequest.
    """
    wish, part = control.value, (control.body_part,)
    serial = f"{int(wish['serialNumber']):x}"
    issuer = bytes(encode(wish["issuerName"]))
    row = database.row("SELECT der, issued_to FROM certificates WHERE serial = ?", serial)
    known = {authority.certificate.subject.public_bytes() for authority in site.hierarchy.issuers}
    if row is None or issuer not in known:
        raise CmcRefusedError(BAD_CERT_ID, "this CA issued no such certificate", body_parts=part)
    certificate = x509.load_der_x509_certificate(row["der"])
    if wish["passphrase"].isValue:
        _check_secret(bytes(wish["passphrase"]), str(row["issued_to"]), store, part)
    else:
        _check_signer(client, certificate, part)
    site.register.revoke(serial)
    asked_by = "shared secret" if client is None else client.identity
    store.note_revocation(serial, int(wish["reason"]), asked_by)
    return serial


def _check_secret(given: bytes, issued_to: str, store: CmcStore, part: tuple[int, ...]) -> None:
    known = store.secret(issued_to.removeprefix(_BY_SECRET)) if issued_to.startswith(_BY_SECRET) else None
    if known is None or not hmac.compare_digest(known, given):
        raise CmcRefusedError(BAD_IDENTITY, "that is not the shared secret", body_parts=part, http_status=403)


def _check_signer(client: Client | None, certificate: x509.Certificate, part: tuple[int, ...]) -> None:
    if client is None or client.certificate is None or client.third_party:
        raise CmcRefusedError(BAD_IDENTITY, "a certificate of this CA has to sign", body_parts=part, http_status=403)
    if not client.registration_authority and not same_name(client.certificate.subject, certificate.subject):
        raise CmcRefusedError(BAD_REQUEST, "the certificate of somebody else", body_parts=part, http_status=403)


def find_certificate(control: Control, database: Database) -> x509.Certificate | None:
    """The certificate that a confirmCertAcceptance names, or None (section 6.14)."""
    named: rfc6402.CMCCertId = control.value
    row = database.row("SELECT der FROM certificates WHERE serial = ?", f"{int(named['serialNumber']):x}")
    certificate = None if row is None else x509.load_der_x509_certificate(row["der"])
    if certificate is None or certificate.issuer.public_bytes() != bytes(encode(named["issuer"])):
        return None
    return certificate
