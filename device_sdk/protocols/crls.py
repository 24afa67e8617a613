"""/crls: the revocation lists of the CAs a client trusts (RFC 8295 section 4; C-01 to C-06)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from device_sdk.errors import VerificationError, WireError
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.protocols.est.responses import refuse, unreadable
from device_sdk.wire.crls_only import MAX_CRLS_BYTES, read_crls_only
from device_sdk.wire.path import ca_problem, find_path
from device_sdk.wire.relations import Relations
from device_sdk.wire.revocation import is_stale, list_problem

_MAX_TEXT = 200


@dataclass(frozen=True)
class RevocationList:
    """A list that is signed by a CA which leads to a trust anchor.

    Attributes:
        crl: the list.
        issuer: certificate of the CA whose key signed it.
        stale: its successor is overdue; who is on it is revoked all the same.
    """

    crl: x509.CertificateRevocationList
    issuer: x509.Certificate
    stale: bool


@dataclass(frozen=True)
class RevocationLists:
    """The lists of one answer.

    Attributes:
        accepted: those that may be used.
        rejected: the name of each other one's issuer, and what is wrong with the list.
    """

    accepted: tuple[RevocationList, ...]
    rejected: tuple[tuple[str, str], ...] = ()


def crls_request(target: str) -> HttpRequest:
    """GET /crls."""
    return HttpRequest("GET", target, limit_bytes=MAX_CRLS_BYTES, operation="crls")


def read_crls(response: HttpResponse, now: datetime) -> tuple[x509.CertificateRevocationList, ...]:
    """The lists of an answer, not yet checked; none for 404 and 204 (AMB-22).

    Raises:
        HttpStatusError: another status than 200.
        RemoteProtocolError: not a crls-only message.
    """
    if response.status_code in (204, 404):
        return ()
    if response.status_code != 200:
        refuse(response, now)
    try:
        return read_crls_only(response.body)
    except WireError as error:
        raise unreadable(response, error) from error


def check_crls(
    found: Iterable[x509.CertificateRevocationList],
    *,
    anchors: Sequence[x509.Certificate],
    intermediates: Sequence[x509.Certificate],
    now: datetime,
) -> RevocationLists:
    """Sort the lists of an answer into those that may be used and the rest; each is judged alone (C-03, C-05).

    Args:
        found: the lists.
        anchors: whom to trust.
        intermediates: CA certificates that may lead to an anchor.
        now: the present.
    """
    relations = Relations()
    accepted, rejected = [], []
    for one in found:
        try:
            issuer = _issuer_of(one, anchors, intermediates, now, relations)
        except VerificationError as error:
            rejected.append((one.issuer.rfc4514_string()[:_MAX_TEXT], error.message))
        else:
            accepted.append(RevocationList(one, issuer, is_stale(one, now)))
    return RevocationLists(tuple(accepted), tuple(rejected))


def _issuer_of(
    found: x509.CertificateRevocationList,
    anchors: Sequence[x509.Certificate],
    intermediates: Sequence[x509.Certificate],
    now: datetime,
    relations: Relations,
) -> x509.Certificate:
    problem = "its issuer is none of the CAs that are trusted"
    for candidate in (*anchors, *intermediates):
        if candidate.subject != found.issuer or not relations.step():
            continue
        wrong = list_problem(found, candidate, now, relations)
        if not wrong and candidate not in anchors:
            wrong = ca_problem(candidate, relations) or _path_problem(candidate, anchors, intermediates, now, relations)
        if not wrong:
            return candidate
        problem = wrong
    raise VerificationError(problem)


def _path_problem(
    candidate: x509.Certificate,
    anchors: Sequence[x509.Certificate],
    intermediates: Sequence[x509.Certificate],
    now: datetime,
    relations: Relations,
) -> str | None:
    try:
        find_path(candidate, intermediates=intermediates, anchors=anchors, now=now, relations=relations)
    except VerificationError as error:
        return error.message
    return None
