"""/crls: the revocation lists of the CAs a client trusts (RFC 8295 section 4; C-01 to C-06)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from device_sdk.errors import VerificationError, WireError
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.protocols.est.responses import refuse, unreadable
from device_sdk.wire.certificate import extension_value
from device_sdk.wire.crls_only import MAX_CRLS_BYTES, read_crls_only
from device_sdk.wire.names import shown_name
from device_sdk.wire.path import ca_problem, find_path
from device_sdk.wire.path_inputs import NO_INPUTS, PathInputs
from device_sdk.wire.relations import Relations
from device_sdk.wire.revocation import is_stale, list_problem
from device_sdk.wire.same_name import same_name

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
    given = _Given(anchors, intermediates, now, Relations())
    accepted: list[RevocationList] = []
    rejected: list[tuple[str, str]] = []
    for one in found:
        try:
            issuer = given.issuer_of(one)
        except VerificationError as error:
            rejected.append((shown_name(one.issuer)[:_MAX_TEXT], error.message))
        else:
            accepted.append(RevocationList(one, issuer, is_stale(one, now)))
    inputs = PathInputs(lists=tuple(one.crl for one in accepted))
    good: list[RevocationList] = []
    for one_list in accepted:
        # only now all lists are there that may have the certificate of an issuer on them
        if problem := given.path_problem(one_list.issuer, inputs):
            rejected.append((shown_name(one_list.crl.issuer)[:_MAX_TEXT], problem))
        else:
            good.append(one_list)
    return RevocationLists(tuple(good), tuple(rejected))


def inputs_with(
    lists: Iterable[x509.CertificateRevocationList], *, anchors: Sequence[x509.Certificate], now: datetime
) -> PathInputs:
    """For validating paths to these anchors with lists that somebody gives for that purpose.

    Those of the anchors themselves are checked now; those of others count where a CA of the path signed them.

    Raises:
        VerificationError: a list of one of the anchors must not be used.
    """
    found, others = _divided(lists, anchors, now)
    for issuer, reason in found.rejected:
        raise VerificationError(f"the revocation list of {issuer}: {reason}", hint="fetch it again (est crls)")
    return PathInputs(lists=tuple(one.crl for one in found.accepted), unchecked_lists=others)


def kept_for(
    lists: Iterable[x509.CertificateRevocationList], *, anchors: Sequence[x509.Certificate], now: datetime
) -> tuple[x509.CertificateRevocationList, ...]:
    """Of lists that are kept because of other anchors, those that `inputs_with` takes for these."""
    found, others = _divided(lists, anchors, now)
    return *(one.crl for one in found.accepted), *others


def _divided(
    lists: Iterable[x509.CertificateRevocationList], anchors: Sequence[x509.Certificate], now: datetime
) -> tuple[RevocationLists, tuple[x509.CertificateRevocationList, ...]]:
    """Those by the name of an anchor, checked, and the others."""
    own: list[x509.CertificateRevocationList] = []
    others: list[x509.CertificateRevocationList] = []
    for one in lists:
        (own if any(same_name(anchor.subject, one.issuer) for anchor in anchors) else others).append(one)
    return check_crls(own, anchors=anchors, intermediates=(), now=now), tuple(others)


@dataclass(frozen=True)
class _Given:
    anchors: Sequence[x509.Certificate]
    intermediates: Sequence[x509.Certificate]
    now: datetime
    relations: Relations

    def issuer_of(self, found: x509.CertificateRevocationList) -> x509.Certificate:
        """Whose key signed a list; raises VerificationError if it is nobody's who may."""
        problem = "its issuer is none of the CAs that are trusted"
        for candidate in (*self.anchors, *self.intermediates):
            if not same_name(candidate.subject, found.issuer) or not self.relations.step():
                continue
            wrong = list_problem(found, candidate, self.now, self.relations)
            if not wrong and candidate not in self.anchors:
                wrong = self._authority_problem(candidate) or self.path_problem(candidate)
            if not wrong:
                return candidate
            problem = wrong
        raise VerificationError(problem)

    def _authority_problem(self, candidate: x509.Certificate) -> str | None:
        """A CA may have a key for its lists alone (RFC 5280 section 4.2.1.3): its certificate says cRLSign and no keyCertSign."""
        usage = extension_value(candidate, x509.KeyUsage)
        for_lists = usage is not None and usage.crl_sign and not usage.key_cert_sign
        return None if for_lists else ca_problem(candidate, self.relations)

    def path_problem(self, candidate: x509.Certificate, inputs: PathInputs = NO_INPUTS) -> str | None:
        """Why an issuer does not lead to an anchor, or is revoked; None if all is well."""
        if candidate in self.anchors:
            return None
        try:
            find_path(
                candidate,
                intermediates=self.intermediates,
                anchors=self.anchors,
                now=self.now,
                relations=self.relations,
                inputs=inputs,
            )
        except VerificationError as error:
            return error.message
        return None
