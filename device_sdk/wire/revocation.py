"""Revocation lists: whether one may be believed, which of two is newer, and who is on it (RFC 5280 sections 5 and 6.3)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtensionOID

from device_sdk.wire.certificate import CLOCK_ALLOWANCE, name_of
from device_sdk.wire.list_scope import list_covers
from device_sdk.wire.relations import Relations
from device_sdk.wire.same_name import canonical_name

_CRITICAL = bytes.fromhex("0101ff")
_PROCESSED = {ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_NUMBER}
_WEAK = ("md5", "sha1")


def list_problem(
    found: x509.CertificateRevocationList,
    issuer: x509.Certificate,
    now: datetime,
    relations: Relations,
    allowance: timedelta = CLOCK_ALLOWANCE,
) -> str | None:
    """Why a list must not be used; None if it may. Its end is not looked at, see `is_stale` (C-05).

    Args:
        found: the list.
        issuer: whose key signed it, by its name; that this one leads to a trust anchor is the caller's affair.
        now: the present.
        relations: what the issuer's key may be used for.
        allowance: how wrong the clocks may be.
    """
    if found.last_update_utc - now > allowance:
        return f"not issued before {found.last_update_utc:%Y-%m-%dT%H:%M:%SZ}"
    if found.next_update_utc is None:
        return "it does not say until when it holds (nextUpdate)"
    if not _may_sign_lists(issuer):
        return "its issuer must not sign revocation lists (KeyUsage lacks cRLSign)"
    if problem := relations.key_problem(issuer) or _signature_problem(found, issuer):
        return problem
    return _extension_problem(found)


def is_stale(found: x509.CertificateRevocationList, now: datetime, allowance: timedelta = CLOCK_ALLOWANCE) -> bool:
    """Whether its successor should be out already: what it says still holds, who is missing from it may be revoked."""
    return found.next_update_utc is None or now - found.next_update_utc > allowance


@dataclass(frozen=True)
class Edition:
    """Which of the lists of an issuer and key one is.

    Attributes:
        number: its cRLNumber, or None.
        at: thisUpdate.
    """

    number: int | None
    at: datetime

    def may_follow(self, other: Edition) -> bool:
        """Whether it is the same, or a later one: by number, then by date."""
        if self.number is not None and other.number is not None and self.number != other.number:
            return self.number > other.number
        return self.at >= other.at


def edition_of(found: x509.CertificateRevocationList) -> Edition:
    """Which one a list is."""
    return Edition(_number(found), found.last_update_utc)


def is_newer(found: x509.CertificateRevocationList, held: x509.CertificateRevocationList) -> bool:
    """Whether a list of the same issuer and key may take the place of the one that is held (C-06): by number, then by date."""
    return edition_of(found).may_follow(edition_of(held))


def revoked_since(certificate: x509.Certificate, found: x509.CertificateRevocationList) -> datetime | None:
    """When the certificate was revoked, by a list of its issuer; None if it is not on it."""
    serial = certificate.serial_number
    if serial < 0:  # which nobody should have, and the look-up does not take
        entry = next((one for one in found if one.serial_number == serial), None)
    else:
        entry = found.get_revoked_certificate_by_serial_number(serial)
    return entry.revocation_date_utc if entry is not None else None


class ListsByIssuer:
    """Revocation lists that were checked, to be looked up by the name of their issuer (C-05).

    Whichever of an issuer's keys signed them: a CA in a rollover has two (RFC 4210 section 4.4.3).
    """

    def __init__(self, lists: Iterable[x509.CertificateRevocationList]) -> None:
        self._lists: dict[Hashable, list[x509.CertificateRevocationList]] = {}
        for one in lists:
            self._lists.setdefault(canonical_name(one.issuer), []).append(one)

    def revoked(self, certificate: x509.Certificate) -> datetime | None:
        """When a certificate was revoked, by any list of its issuer; None if it is on none."""
        return next((since for one in self._of(certificate) if (since := revoked_since(certificate, one))), None)

    def entry(self, certificate: x509.Certificate) -> str | None:
        """The same in words."""
        since = self.revoked(certificate)
        return _revoked(certificate, since, of_a_ca=False) if since else None

    def problem(self, path: Sequence[x509.Certificate], stale_after: datetime | None = None) -> str | None:
        """Which certificate of a path is revoked, and since when; None if none is.

        Args:
            path: the certificate in question first, the trust anchor, which nobody revokes, last.
            stale_after: a list of each issuer is demanded whose successor is not due before this time; None demands nothing.
        """
        if not self._lists and stale_after is None:
            return None
        for position, one in enumerate(path[:-1]):
            if since := self.revoked(one):
                return _revoked(one, since, of_a_ca=position > 0)
            if stale_after is not None and not any(_settles(found, one, stale_after) for found in self._of(one)):
                return f"nobody says whether {name_of(one)} was revoked: there is no revocation list that holds"
        return None

    def signed_problem(
        self, path: Sequence[x509.Certificate], now: datetime, relations: Relations, allowance: timedelta
    ) -> str | None:
        """The same for lists that nobody checked: they count where the next certificate of the path signed them."""
        for position, (one, issuer) in enumerate(pairwise(path)):
            for found in self._of(one):
                since = revoked_since(one, found)
                if since and not list_problem(found, issuer, now, relations, allowance):
                    return _revoked(one, since, of_a_ca=position > 0)
        return None

    def _of(self, certificate: x509.Certificate) -> Sequence[x509.CertificateRevocationList]:
        return self._lists.get(canonical_name(certificate.issuer), ()) if self._lists else ()


def _revoked(certificate: x509.Certificate, since: datetime, *, of_a_ca: bool) -> str:
    whose = f"its CA {name_of(certificate)} was " if of_a_ca else ""
    return f"{whose}revoked on {since:%Y-%m-%dT%H:%M:%SZ}"


def _settles(found: x509.CertificateRevocationList, certificate: x509.Certificate, stale_after: datetime) -> bool:
    """Whether a list says that a certificate is not revoked: it is about this one, and there is no news elsewhere."""
    if any(extension.oid == ExtensionOID.FRESHEST_CRL for extension in found.extensions):
        return False
    holds = found.next_update_utc is not None and found.next_update_utc >= stale_after
    return holds and list_covers(found, certificate)


def _may_sign_lists(issuer: x509.Certificate) -> bool:
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _signature_problem(found: x509.CertificateRevocationList, issuer: x509.Certificate) -> str | None:
    try:
        algorithm = found.signature_hash_algorithm
        if algorithm is not None and algorithm.name in _WEAK:
            return f"signed with {algorithm.name}, which is not accepted"
        key = issuer.public_key()
        usable = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)
        good = isinstance(key, usable) and found.is_signature_valid(key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        good = False
    return None if good else "the signature is not its issuer's"


def _extension_problem(found: x509.CertificateRevocationList) -> str | None:
    """C-05: no delta list, none of a part of the certificates, and nothing critical that is unknown here."""
    for extension in found.extensions:
        if extension.oid == ExtensionOID.DELTA_CRL_INDICATOR:
            return "a delta list, whose base is not kept here"
        if isinstance(extension.value, x509.IssuingDistributionPoint):
            if extension.value.indirect_crl or extension.value.only_contains_attribute_certs:
                return "a list about other certificates than its issuer's, which is not processed here"
            continue
        if extension.critical and extension.oid not in _PROCESSED:
            return f"critical extension {extension.oid.dotted_string} that this SDK does not process"
    # most lists have nothing critical, and some have tens of thousands of entries
    if _CRITICAL in found.tbs_certlist_bytes:
        for entry in found:
            if any(extension.critical for extension in entry.extensions):
                return "an entry with a critical extension, which is not processed here"
    return None


def _number(found: x509.CertificateRevocationList) -> int | None:
    try:
        return found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None
