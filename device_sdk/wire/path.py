"""Paths from a certificate to a trust anchor: signatures, names and their constraints, validity, CA flags and path length.

RFC 5280 section 6.1. Policy constraints are not processed; where they are critical, as they must be, they end a path
(RFC 5280 section 4.2), as does a critical extension of any unknown kind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtensionOID

from device_sdk.errors import VerificationError
from device_sdk.wire.name_constraints import constraints_problem
from device_sdk.wire.relations import Relations

ExtensionT = TypeVar("ExtensionT", bound=x509.ExtensionType)

CLOCK_ALLOWANCE = timedelta(minutes=5)
MAX_PATH_LENGTH = 10
_MAX_STEPS = 500
_MAX_PROBLEMS = 3
_OTHER_NAMES = (
    "a CA certificate limits the names below it (name constraints): ask for other names (--subject, --san), or ask the CA's "
    "operator"
)

_PROCESSED = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.NAME_CONSTRAINTS,
    # Without an explicit policy being required these do not change whether a path is valid (RFC 5280 section 6.1.5).
    ExtensionOID.CERTIFICATE_POLICIES,
    ExtensionOID.POLICY_MAPPINGS,
    ExtensionOID.INHIBIT_ANY_POLICY,
}


def is_self_issued(certificate: x509.Certificate) -> bool:
    """Subject and issuer are the same name; true for roots and for rollover certificates (EST-121)."""
    return certificate.subject == certificate.issuer


def is_self_signed(certificate: x509.Certificate, relations: Relations | None = None) -> bool:
    """Self-issued, and the signature verifies with the certificate's own key."""
    return issued_by(certificate, certificate, relations)


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate, relations: Relations | None = None) -> bool:
    """The issuer's name is the one named and its key made the signature; says nothing about CA flags or validity.

    Args:
        certificate: whose signature is checked.
        issuer: whose key made it, perhaps.
        relations: of the answer both are from, where there are many to compare.
    """
    return (relations or Relations()).issued_by(certificate, issuer)


def validity_problem(
    certificate: x509.Certificate, now: datetime, allowance: timedelta = CLOCK_ALLOWANCE
) -> str | None:
    """Why a certificate is not valid now, give or take the allowance for wrong clocks; None if it is.

    Compares differences, so that notAfter 99991231235959Z does not overflow (EST-32).
    """
    if certificate.not_valid_before_utc - now > allowance:
        return f"not valid before {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    if now - certificate.not_valid_after_utc > allowance:
        return f"expired on {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    return None


def ca_problem(certificate: x509.Certificate, relations: Relations | None = None) -> str | None:
    """Why a certificate cannot issue others; None if it can.

    BasicConstraints with cA and, where there is a KeyUsage, keyCertSign. A self-issued certificate that is not
    self-signed must have both (EST-123). The key is one whose signatures can be checked at a bearable cost.
    """
    relations = relations or Relations()
    constraints = _value(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        return "not a CA certificate (BasicConstraints)"
    usage = _value(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        return "not a CA certificate (KeyUsage lacks keyCertSign)"
    if problem := relations.key_problem(certificate):
        return problem
    if usage is None and is_self_issued(certificate) and not relations.issued_by(certificate, certificate):
        return "a rollover certificate without KeyUsage keyCertSign"
    return None


def critical_problem(certificate: x509.Certificate, processed: Collection[x509.ObjectIdentifier] = ()) -> str | None:
    """The first critical extension that is not processed here (RFC 5280 section 4.2); None if there is none.

    Args:
        certificate: whose.
        processed: those that the caller processes himself.
    """
    known = {*_PROCESSED, *processed}
    unknown = (ext.oid.dotted_string for ext in certificate.extensions if ext.critical and ext.oid not in known)
    oid = next(unknown, None)
    return f"critical extension {oid} that this SDK does not process" if oid else None


def find_path(
    certificate: x509.Certificate,
    *,
    intermediates: Iterable[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    now: datetime,
    allowance: timedelta = CLOCK_ALLOWANCE,
    relations: Relations | None = None,
    processed: Collection[x509.ObjectIdentifier] = (),
) -> tuple[x509.Certificate, ...]:
    """A valid path: the certificate first, a trust anchor last; the anchor alone if that is what was asked about.

    Any order of intermediates; the number of signatures checked is bounded, so that a hostile bag costs little.

    Args:
        certificate: the certificate in question.
        intermediates: certificates that may be used on the way; none of them is trusted.
        anchors: trusted certificates; self-signed or not, their CA flags are the caller's affair, their validity is not.
        now: the present, with a time zone.
        allowance: how wrong the clocks may be.
        relations: shared by the searches of one answer, so that its cost is bounded as a whole.
        processed: critical extensions that the caller processes himself on the path he is given.

    Raises:
        VerificationError: there is no such path; the message says how far the best attempt came.
    """
    problem = validity_problem(certificate, now, allowance) or critical_problem(certificate, processed)
    if problem:
        raise VerificationError(f"{name_of(certificate)}: {problem}")
    search = _Search(list(intermediates), anchors, now, allowance, relations or Relations(), processed)
    path = search.extend((certificate,))
    if path is None:
        words = f"{name_of(certificate)}: no path to a trust anchor: {search.best_reason(certificate)}"
        raise VerificationError(words, hint=_OTHER_NAMES if search.names_refused else None)
    return path


def name_of(certificate: x509.Certificate) -> str:
    """A certificate in an error message: its subject, or its serial number if that is empty; at most 200 characters."""
    text = certificate.subject.rfc4514_string() or f"serial {certificate.serial_number:x}"
    return "".join(char if char.isprintable() else "?" for char in text)[:200]


@dataclass
class _Search:
    intermediates: list[x509.Certificate]
    anchors: Sequence[x509.Certificate]
    now: datetime
    allowance: timedelta
    relations: Relations
    processed: Collection[x509.ObjectIdentifier] = ()
    steps: int = 0
    names_refused: bool = False
    problems: dict[tuple[int, str], x509.Certificate] = field(default_factory=dict)
    by_subject: dict[int, list[x509.Certificate]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_subject = {}
        for candidate in self.intermediates:
            self.by_subject.setdefault(self.relations.subject(candidate), []).append(candidate)

    def extend(self, path: tuple[x509.Certificate, ...]) -> tuple[x509.Certificate, ...] | None:
        """Depth first: the path so far, prolonged to an anchor; None if that cannot be done."""
        last = path[-1]
        if last in self.anchors:
            return path if self._names_are_allowed(path) else None
        for anchor in self.anchors:
            whole = (*path, anchor)
            if (
                self._may_issue(anchor, path)
                and not self._note(anchor, validity_problem(anchor, self.now, self.allowance))
                and self._names_are_allowed(whole)
            ):
                return whole
        if len(path) >= MAX_PATH_LENGTH:
            return None
        for candidate in self.by_subject.get(self.relations.issuer(last), ()):
            if candidate in path or not self._may_issue(candidate, path) or self._unusable(candidate):
                continue
            found = self.extend((*path, candidate))
            if found:
                return found
        return None

    def best_reason(self, certificate: x509.Certificate) -> str:
        """What stood in the way."""
        if self.problems:
            return "; ".join(dict.fromkeys(f"{name_of(one)}: {problem}" for (_, problem), one in self.problems.items()))
        if self.steps > _MAX_STEPS or self.relations.exhausted:
            return "too many certificates of the same name to try them all"
        issuer = "".join(c if c.isprintable() else "?" for c in certificate.issuer.rfc4514_string())[:200]
        return f"none of the certificates at hand issued it (issuer {issuer})"

    def _may_issue(self, issuer: x509.Certificate, path: tuple[x509.Certificate, ...]) -> bool:
        """Name, signature and path length."""
        if self.relations.subject(issuer) != self.relations.issuer(path[-1]):
            return False
        self.steps += 1
        if self.steps > _MAX_STEPS or not self.relations.step():
            return False
        if not self.relations.issued_by(path[-1], issuer):
            self._note(issuer, self.relations.key_problem(issuer))
            self._note(path[-1], _hash_problem(path[-1]))
            return False
        return not self._note(issuer, _length_problem(issuer, path))

    def _names_are_allowed(self, path: tuple[x509.Certificate, ...]) -> bool:
        problem = constraints_problem(path)
        self.names_refused = self.names_refused or problem is not None
        return not self._note(path[0], problem)

    def _unusable(self, candidate: x509.Certificate) -> bool:
        problem = (
            validity_problem(candidate, self.now, self.allowance)
            or ca_problem(candidate, self.relations)
            or critical_problem(candidate, self.processed)
        )
        return self._note(candidate, problem)

    def _note(self, certificate: x509.Certificate, problem: str | None) -> bool:
        if problem and len(self.problems) < _MAX_PROBLEMS:
            self.problems[id(certificate), problem] = certificate
        return problem is not None


def _hash_problem(certificate: x509.Certificate) -> str | None:
    """Why a signature could not even be looked at: hashes that can be forged are not verified at all."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "signed with an unknown algorithm"
    weak = algorithm is not None and algorithm.name in ("sha1", "md5")
    return f"signed with {algorithm.name}, which is not accepted" if algorithm and weak else None


def _length_problem(issuer: x509.Certificate, path: tuple[x509.Certificate, ...]) -> str | None:
    """RFC 5280 section 6.1.4 (l), (m): self-issued certificates between issuer and end do not count (EST-123)."""
    constraints = _value(issuer, x509.BasicConstraints)
    if constraints is None or constraints.path_length is None:
        return None
    between = sum(not is_self_issued(certificate) for certificate in path[1:])
    return f"allows {constraints.path_length} CAs below it" if between > constraints.path_length else None


def _value(certificate: x509.Certificate, kind: type[ExtensionT]) -> ExtensionT | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
