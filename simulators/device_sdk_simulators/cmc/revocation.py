"""Revocation by CMC (RFC 5272 section 6.11): by the certificate's own holder, an RA, or who knows the shared secret."""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from cryptography import x509
from pyasn1.codec.der.encoder import encode
from pyasn1.type import base

from device_sdk_simulators.ca.names import same_name
from device_sdk_simulators.cmc.pki_data import Control
from device_sdk_simulators.cmc.refusal import BAD_CERT_ID, BAD_IDENTITY, BAD_REQUEST, CmcRefusedError
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.holders import holder_of
from device_sdk_simulators.est.site import Site

Prove: TypeAlias = Callable[[str, Callable[[bytes | None], None]], None]
"""Gets a user, and what looks at the proof given that user's secret; raises what that raises, and tryLater."""

# 7 is not used; nothing is taken off a list here, so removeFromCRL would say what is not done
_REASONS = {*range(11)} - {7, 8}


@dataclass(frozen=True)
class Issued:
    """A certificate of the CA that was asked.

    Attributes:
        certificate: what a message is about.
        holder: the user it was issued for, as far as that is known.
        lineage: what it shares with those it renewed or was renewed by.
    """

    certificate: x509.Certificate
    holder: str | None
    lineage: str

    @property
    def serial(self) -> str:
        """In hex, as the database has it."""
        return f"{self.certificate.serial_number:x}"

    def is_of(self, client: Client) -> bool:
        """Whether that is who holds it: the same name, and the same user; anybody can have a name, and serials are public."""
        own = client.certificate
        if own is None or not same_name(own.subject, self.certificate.subject) or self.holder != client.holder:
            return False
        return self.holder is not None or self.lineage == client.lineage


def find_issued(serial: int, issuer: base.Asn1Item, site: Site, database: Database) -> Issued | None:
    """The certificate that this CA issued under that name and number, or None: those of other labels do not count."""
    row: sqlite3.Row | None = database.row(
        "SELECT der, issued_to, holder, coalesce(lineage, serial) AS lineage FROM certificates WHERE serial = ? AND ca = ?",
        f"{serial:x}",
        site.authority.name,
    )
    if row is None:
        return None
    certificate = x509.load_der_x509_certificate(row["der"])
    if certificate.issuer.public_bytes() != bytes(encode(issuer)):
        return None
    return Issued(certificate, holder_of(row), str(row["lineage"]))


def revocable(control: Control, client: Client | None, site: Site, database: Database, prove: Prove) -> Issued:
    """What the control names, if who asks may revoke it; nothing is changed yet.

    Args:
        control: the revokeRequest.
        client: who signed; None for a message without signature, which the shared secret has to speak for.
        site: the CA that was asked.
        database: where certificates are.
        prove: lets a proof of a user's shared secret be looked at.

    Raises:
        CmcRefusedError: badCertId, badIdentity, badRequest or tryLater.
    """
    wish, part = control.value, (control.body_part,)
    if int(wish["reason"]) not in _REASONS:
        raise CmcRefusedError(
            BAD_REQUEST, "that is no CRLReason to revoke for (RFC 5280 section 5.3.1)", body_parts=part
        )
    found = find_issued(int(wish["serialNumber"]), wish["issuerName"], site, database)
    if found is None:
        raise CmcRefusedError(BAD_CERT_ID, "this CA issued no such certificate", body_parts=part)
    if wish["passphrase"].isValue:
        _check_secret(bytes(wish["passphrase"]), found, prove, part)
    else:
        _check_signer(client, found, part)
    return found


def _check_secret(given: bytes, found: Issued, prove: Prove, part: tuple[int, ...]) -> None:
    def check(known: bytes | None) -> None:
        if known is None or not hmac.compare_digest(known, given):
            # the same words whether the holder has a secret, another one, or nobody knows a holder
            words = "that is not the shared secret of the certificate's holder"
            raise CmcRefusedError(BAD_IDENTITY, words, body_parts=part, http_status=403)

    prove(found.holder or "", check)


def _check_signer(client: Client | None, found: Issued, part: tuple[int, ...]) -> None:
    if client is None or client.certificate is None or client.third_party:
        raise CmcRefusedError(BAD_IDENTITY, "a certificate of this CA has to sign", body_parts=part, http_status=403)
    if client.registration_authority or client.certificate == found.certificate:
        return
    # where no user is known, only the renewals that lead from one to the other tell its holder from others of that name
    if not found.is_of(client):
        raise CmcRefusedError(BAD_REQUEST, "the certificate of somebody else", body_parts=part, http_status=403)
