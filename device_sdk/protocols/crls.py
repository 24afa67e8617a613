"""/crls: the revocation lists of the CAs a client trusts (RFC 8295 section 4; C-01 to C-06)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from cryptography import x509

from device_sdk.errors import VerificationError, WireError
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.protocols.est.refusals import refuse, unreadable
from device_sdk.wire.certificate import extension_value
from device_sdk.wire.crls_only import MAX_CRLS_BYTES, read_crls_only
from device_sdk.wire.names import shown_name
from device_sdk.wire.path import ca_problem, find_path
from device_sdk.wire.path_inputs import NO_INPUTS, PathInputs
from device_sdk.wire.relations import Relations
from device_sdk.wire.revocation import is_stale, list_problem
from device_sdk.wire.same_name import same_name

_MAX_TEXT = 200
_MAX_CERTIFICATES = 4
"""So many certificates of one CA and key are tried."""
_MAX_ENDED = 16


@dataclass(frozen=True)
class RevocationList:
    """A list that is signed by a CA which leads to a trust anchor.

    Attributes:
        crl: the list.
        issuer: certificate of the CA whose key signed it.
        stale: its successor is overdue, and its CA did not end; who is on it is revoked all the same.
        path: the issuer, and the CAs between it and the anchor; empty if the anchor is the issuer.
        issuers: all certificates of the CA for that key that lead to an anchor, at most four: one may be revoked, or end.
    """

    crl: x509.CertificateRevocationList
    issuer: x509.Certificate
    stale: bool
    path: tuple[x509.Certificate, ...] = ()
    issuers: tuple[x509.Certificate, ...] = ()

    @property
    def authorities(self) -> tuple[x509.Certificate, ...]:
        """What has to be kept with the list: without it, it would count for nobody."""
        return tuple(dict.fromkeys((*self.path, *(self.issuers if self.path else ()))))


@dataclass(frozen=True)
class RevocationLists:
    """The lists of one answer.

    Attributes:
        accepted: those that may be used.
        rejected: the name of each other one's issuer, and what is wrong with the list.
        for_signers: those that may be used for whoever signs packages, and for nobody else.
    """

    accepted: tuple[RevocationList, ...]
    rejected: tuple[tuple[str, str], ...] = ()
    for_signers: tuple[RevocationList, ...] = ()


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
    signers: Sequence[x509.Certificate] = (),
    below_signers: Sequence[x509.Certificate] = (),
    held: bool = False,
) -> RevocationLists:
    """Sort the lists of an answer into those that may be used and the rest; each is judged alone (C-03, C-05).

    Args:
        found: the lists.
        anchors: whom to trust.
        intermediates: CA certificates that may lead to an anchor.
        now: the present.
        signers: anchors of those who sign packages; what leads to them alone says nothing about others.
        below_signers: further certificates that may lead to those.
        held: they were checked before and are kept: that a CA ended since takes its list away from nobody. It may have
            another certificate for the same key, which a server shows when it likes, with an older list.
    """
    accepted, rejected = _sorted(found, _Given(anchors, intermediates, now, Relations(), held))
    between = tuple(dict.fromkeys((*intermediates, *below_signers)))
    others, _ = _sorted((crl for crl, _ in rejected), _Given(signers, between, now, Relations()))
    taken = {id(one.crl) for one in others}
    reasons = ((shown_name(crl.issuer)[:_MAX_TEXT], why) for crl, why in rejected if id(crl) not in taken)
    return RevocationLists(tuple(accepted), tuple(reasons), tuple(others))


def has_ended(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether it is a certificate of the past."""
    return certificate.not_valid_after_utc < now


def ended_with_its_authority(
    found: x509.CertificateRevocationList, issuers: Iterable[x509.Certificate], now: datetime
) -> bool:
    """Whether nobody makes a successor of a list that is kept, as all certificates of whoever signed it ended.

    Args:
        found: the list.
        issuers: CA certificates that are kept with lists.
        now: the present.
    """
    named = [one for one in issuers if same_name(one.subject, found.issuer)]
    signed = [one for one in named if not list_problem(found, one, now, Relations())]
    return bool(signed) and all(has_ended(one, now) for one in signed)


_Rejected: TypeAlias = list[tuple[x509.CertificateRevocationList, str]]


def _sorted(found: Iterable[x509.CertificateRevocationList], given: _Given) -> tuple[list[RevocationList], _Rejected]:
    signed: list[tuple[x509.CertificateRevocationList, tuple[x509.Certificate, ...]]] = []
    rejected: _Rejected = []
    for one in found:
        try:
            signed.append((one, given.issuers_of(one)))
        except VerificationError as error:
            rejected.append((one, error.message))
    inputs = PathInputs(lists=tuple(one for one, _ in signed))
    good: list[RevocationList] = []
    for one, issuers in signed:
        # only now all lists are there that may have the certificate of an issuer on them
        try:
            issuer, path = given.first_path(issuers, inputs)
        except VerificationError as error:
            rejected.append((one, error.message))
        else:
            stale = is_stale(one, given.now) and not (path and has_ended(issuer, given.now))
            good.append(RevocationList(one, issuer, stale, path, issuers))
    return good, rejected


def inputs_with(
    lists: Iterable[x509.CertificateRevocationList],
    *,
    anchors: Sequence[x509.Certificate],
    now: datetime,
    issuers: Sequence[x509.Certificate] = (),
) -> PathInputs:
    """For validating paths to these anchors with lists that somebody gives for that purpose.

    A list that leads to one of the anchors counts by the name of its issuer, whichever of that one's keys signed it: the one
    for lists alone, or the next one. All others count where a CA of the path signed them.

    Args:
        lists: that are held.
        anchors: where the paths have to lead.
        now: the present.
        issuers: CA certificates that the lists lead through; none of them is trusted for being here.

    Raises:
        VerificationError: a list of one of the anchors must not be used.
    """
    inputs, wrong = _inputs(lists, anchors, now, issuers)
    for one, reason in wrong:
        raise VerificationError(
            f"the revocation list of {shown_name(one.issuer)[:_MAX_TEXT]}: {reason}", hint="fetch it again (est crls)"
        )
    return inputs


def kept_inputs(
    lists: Iterable[x509.CertificateRevocationList],
    *,
    anchors: Sequence[x509.Certificate],
    now: datetime,
    issuers: Sequence[x509.Certificate] = (),
) -> PathInputs:
    """The same with lists that are kept because of other anchors, too: those that must not be used for these are left out."""
    return _inputs(lists, anchors, now, issuers)[0]


def kept_for(
    lists: Iterable[x509.CertificateRevocationList],
    *,
    anchors: Sequence[x509.Certificate],
    now: datetime,
    issuers: Sequence[x509.Certificate] = (),
) -> tuple[x509.CertificateRevocationList, ...]:
    """Of lists that are kept because of other anchors, those that `inputs_with` takes for these."""
    inputs = kept_inputs(lists, anchors=anchors, now=now, issuers=issuers)
    return *inputs.lists, *inputs.unchecked_lists


def _inputs(
    lists: Iterable[x509.CertificateRevocationList],
    anchors: Sequence[x509.Certificate],
    now: datetime,
    issuers: Sequence[x509.Certificate],
) -> tuple[PathInputs, _Rejected]:
    """With all that may be used, and those by the name of an anchor that must not be.

    They were taken before: what a CA said counts after the end of its certificate, too.
    """
    good, rejected = _sorted(lists, _Given(anchors, issuers, now, Relations(), held=True))
    wrong = [one for one in rejected if any(same_name(anchor.subject, one[0].issuer) for anchor in anchors)]
    others = tuple(one for one, _ in rejected if all(one is not other for other, _ in wrong))
    return PathInputs(lists=tuple(one.crl for one in good), unchecked_lists=others), wrong


@dataclass(frozen=True)
class _Given:
    anchors: Sequence[x509.Certificate]
    intermediates: Sequence[x509.Certificate]
    now: datetime
    relations: Relations
    held: bool = False

    def issuers_of(self, found: x509.CertificateRevocationList) -> tuple[x509.Certificate, ...]:
        """Whose key signed a list: its certificates that lead to an anchor; raises VerificationError if it is nobody's who may."""
        problem = "its issuer is none of the CAs that are trusted"
        signed: list[x509.Certificate] = []
        for candidate in dict.fromkeys((*self.anchors, *self.intermediates)):
            if not same_name(candidate.subject, found.issuer) or not self.relations.step():
                continue
            wrong = list_problem(found, candidate, self.now, self.relations)
            if not wrong and candidate in self.anchors:
                return (candidate,)
            if not wrong:
                wrong = self._authority_problem(candidate)
            if wrong:
                problem = wrong
            else:
                signed.append(candidate)
        return self._leading(signed, problem)

    def _leading(self, signed: Sequence[x509.Certificate], problem: str) -> tuple[x509.Certificate, ...]:
        """Those that lead to an anchor now, or at the next moment that counts; raises VerificationError if none does."""
        for moment in self._moments:
            good: list[x509.Certificate] = []
            for candidate in signed:
                try:
                    self._path(candidate, NO_INPUTS, moment)
                except VerificationError as error:
                    problem = error.message if moment == self.now else problem
                else:
                    good.append(candidate)
                if len(good) == _MAX_CERTIFICATES:
                    break
            if good:
                return tuple(good)
        raise VerificationError(problem)

    def first_path(
        self, issuers: Sequence[x509.Certificate], inputs: PathInputs
    ) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
        """The first of an issuer's certificates that leads to an anchor, and the CAs from it on, without the anchor.

        Raises:
            VerificationError: none does, or one on the way is revoked.
        """
        problem: VerificationError | None = None
        for moment in self._moments:
            for issuer in issuers:
                try:
                    return issuer, self._path(issuer, inputs, moment)
                except VerificationError as error:
                    problem = problem or error
        raise problem or VerificationError("not reached: there is an issuer, and a moment")

    def _authority_problem(self, candidate: x509.Certificate) -> str | None:
        """A CA may have a key for its lists alone (RFC 5280 section 4.2.1.3): its certificate says cRLSign and no keyCertSign."""
        usage = extension_value(candidate, x509.KeyUsage)
        for_lists = usage is not None and usage.crl_sign and not usage.key_cert_sign
        return None if for_lists else ca_problem(candidate, self.relations)

    @property
    def _moments(self) -> tuple[datetime, ...]:
        """When a path has to be good: now; or, for a list that is held, just before a CA ended (the kept ones come first)."""
        ended = [one.not_valid_after_utc for one in self.intermediates if has_ended(one, self.now)]
        return self.now, *(sorted(ended[:_MAX_ENDED], reverse=True) if self.held else ())

    def _path(self, candidate: x509.Certificate, inputs: PathInputs, moment: datetime) -> tuple[x509.Certificate, ...]:
        if candidate in self.anchors:
            return ()
        return find_path(
            candidate,
            intermediates=self.intermediates,
            anchors=self.anchors,
            now=moment,
            relations=self.relations,
            inputs=inputs,
        )[:-1]
