"""Paths from a certificate to a trust anchor (RFC 5280 section 6): the one search, and the one validation, of this SDK.

Signatures, names and their constraints, validity, CA flags, path length, policies and revocation lists. The trust anchor's
own limits count (RFC 5914). What a critical extension of an unknown kind means is not known: it ends a path (section 4.2).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509

from device_sdk.errors import VerificationError
from device_sdk.wire.certificate import (
    CLOCK_ALLOWANCE,
    ca_problem,
    critical_problem,
    extension_value,
    hash_problem,
    is_self_issued,
    is_self_signed,
    issued_by,
    name_of,
    validity_problem,
)
from device_sdk.wire.name_constraints import constraints_problem
from device_sdk.wire.path_inputs import NO_INPUTS, PathInputs
from device_sdk.wire.policies import policy_problem
from device_sdk.wire.relations import Relations

__all__ = [
    "CLOCK_ALLOWANCE",
    "MAX_PATH_LENGTH",
    "ca_problem",
    "critical_problem",
    "find_path",
    "is_self_issued",
    "is_self_signed",
    "issued_by",
    "name_of",
    "validity_problem",
]

MAX_PATH_LENGTH = 10
_MAX_STEPS = 500
_MAX_JUDGED = 50
_MAX_PROBLEMS = 3
_UNREADABLE = (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_OTHER_NAMES = (
    "a CA certificate limits the names below it (name constraints): ask for other names (--subject, --san), or ask the CA's "
    "operator"
)
_ASK = "ask the CA's operator"


def find_path(
    certificate: x509.Certificate,
    *,
    intermediates: Iterable[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    now: datetime,
    allowance: timedelta = CLOCK_ALLOWANCE,
    relations: Relations | None = None,
    processed: Collection[x509.ObjectIdentifier] = (),
    inputs: PathInputs = NO_INPUTS,
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
        inputs: initial policies, and the revocation lists.

    Raises:
        VerificationError: there is no such path; the message says how far the best attempt came.
    """
    search = _Search(list(intermediates), anchors, now, allowance, relations or Relations(), processed, inputs)
    try:
        if problem := search.problem_of(certificate):
            raise VerificationError(f"{name_of(certificate)}: {problem}", hint=search.hint)
        path = search.extend((certificate,))
    except _UNREADABLE as error:  # readers of messages leave these out; an anchor from a file may be such a one
        raise VerificationError("a certificate has extensions that cannot be read") from error
    if path is None:
        words = f"{name_of(certificate)}: no path to a trust anchor: {search.best_reason(certificate)}"
        raise VerificationError(words, hint=search.hint)
    return path


@dataclass
class _Search:
    intermediates: list[x509.Certificate]
    anchors: Sequence[x509.Certificate]
    now: datetime
    allowance: timedelta
    relations: Relations
    processed: Collection[x509.ObjectIdentifier] = ()
    inputs: PathInputs = NO_INPUTS
    steps: int = 0
    judged: int = 0
    hint: str | None = None
    problems: dict[tuple[int, str], x509.Certificate] = field(default_factory=dict)
    by_subject: dict[int, list[x509.Certificate]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_subject = {}
        for candidate in self.intermediates:
            self.by_subject.setdefault(self.relations.subject(candidate), []).append(candidate)

    def problem_of(self, certificate: x509.Certificate) -> str | None:
        """Why there is no use in looking for a path."""
        problem = validity_problem(certificate, self.now, self.allowance) or critical_problem(
            certificate, self.processed
        )
        if not problem and certificate not in self.anchors:
            problem = self.inputs.by_issuer.entry(certificate)
            self.hint = _ASK if problem else None
        return problem

    def extend(self, path: tuple[x509.Certificate, ...]) -> tuple[x509.Certificate, ...] | None:
        """Depth first: the path so far, prolonged to an anchor; None if that cannot be done."""
        last = path[-1]
        if last in self.anchors:
            return path if self._keeps_the_rules(path) else None
        for anchor in self.anchors:
            whole = (*path, anchor)
            if (
                self._may_issue(anchor, path)
                and not self._note(anchor, validity_problem(anchor, self.now, self.allowance))
                and self._keeps_the_rules(whole)
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
            self._note(path[-1], hash_problem(path[-1]))
            return False
        return not self._note(issuer, _length_problem(issuer, path))

    def _keeps_the_rules(self, path: tuple[x509.Certificate, ...]) -> bool:
        """What is about a path as a whole: it costs more than a signature, and is looked at some times only."""
        self.judged += 1
        if self.judged > _MAX_JUDGED:
            return False
        problem = constraints_problem(path)
        if problem:
            self.hint = _OTHER_NAMES
        elif problem := policy_problem(path, self.inputs) or self._revocation_problem(path):
            self.hint = self.hint or _ASK
        return not self._note(path[0], problem)

    def _revocation_problem(self, path: tuple[x509.Certificate, ...]) -> str | None:
        demanded_until = self.now - self.allowance if self.inputs.lists_required else None
        return self.inputs.by_issuer.problem(path, demanded_until) or self.inputs.unchecked_by_issuer.signed_problem(
            path, self.now, self.relations, self.allowance
        )

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


def _length_problem(issuer: x509.Certificate, path: tuple[x509.Certificate, ...]) -> str | None:
    """RFC 5280 section 6.1.4 (l), (m): self-issued certificates between issuer and end do not count (EST-123)."""
    constraints = extension_value(issuer, x509.BasicConstraints)
    if constraints is None or constraints.path_length is None:
        return None
    between = sum(not is_self_issued(certificate) for certificate in path[1:])
    return f"allows {constraints.path_length} CAs below it" if between > constraints.path_length else None
