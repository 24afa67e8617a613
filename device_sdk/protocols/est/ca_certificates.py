"""What a /cacerts answer may be trusted for (RFC 7030 section 4.1.3, EST-45, EST-117 to EST-123)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.errors import RemoteProtocolError, VerificationError
from device_sdk.wire.path import (
    ca_problem,
    critical_problem,
    find_path,
    is_self_issued,
    is_self_signed,
    name_of,
    validity_problem,
)
from device_sdk.wire.path_inputs import PathInputs
from device_sdk.wire.relations import Relations


@dataclass(frozen=True)
class Ignored:
    """A certificate of the answer that is not used, and why."""

    certificate: x509.Certificate
    reason: str


@dataclass(frozen=True)
class CaCertificates:
    """A checked /cacerts answer.

    Attributes:
        anchors: the Explicit trust anchors from now on, newest first; never empty.
        intermediates: CA certificates with a valid path to one of them, rollover certificates included.
        ignored: the rest of the answer.
    """

    anchors: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...] = ()
    ignored: tuple[Ignored, ...] = ()

    @property
    def newest(self) -> x509.Certificate:
        """The most recent anchor: the latest notAfter, then the latest notBefore (EST-122)."""
        return self.anchors[0]


def check_ca_certificates(
    bag: Iterable[x509.Certificate],
    trusted: Sequence[x509.Certificate],
    now: datetime,
    *,
    url: str | None = None,
    lists: Iterable[x509.CertificateRevocationList] = (),
) -> CaCertificates:
    """Sort a bag into anchors, intermediates and the rest; its order means nothing.

    With trusted anchors, those stay, and a new root joins them only if a rollover certificate for its key and name was
    made by one of them (NewWithOld, EST-122). Any other root is ignored: being in the bag proves nothing (EST-45).
    Without them, which means that the Implicit database authorized the server, the bag must show one family of roots.

    Args:
        bag: the certificates of the answer.
        trusted: Explicit anchors so far, or those accepted out of band; empty for the Implicit database.
        now: the present, with a time zone.
        url: the endpoint, for messages.
        lists: revocation lists that were checked: whoever is on them leads nowhere, and vouches for nobody.

    Raises:
        RemoteProtocolError: nothing is trusted yet and the bag has no usable root or unrelated ones (EST-120).
    """
    distinct = list(dict.fromkeys(bag))
    relations = Relations()
    anchors = list(dict.fromkeys(trusted)) if trusted else [_only_root(distinct, now, url, relations)]
    inputs = PathInputs(lists=tuple(lists))
    _add_rolled_over([one for one in distinct if not inputs.by_issuer.revoked(one)], anchors, now, relations)
    intermediates, ignored = [], []
    for certificate in distinct:
        if certificate in anchors:
            continue
        problem = _problem(certificate, distinct, anchors, now, relations, inputs)
        if problem is None:
            intermediates.append(certificate)
        else:
            ignored.append(Ignored(certificate, problem))
    kept = _without_ended(_newest_first(anchors), distinct, now, relations)
    return CaCertificates(kept, tuple(intermediates), tuple(ignored))


def usable_roots(
    bag: Iterable[x509.Certificate], now: datetime, relations: Relations | None = None
) -> tuple[x509.Certificate, ...]:
    """The self-signed CA certificates of a bag that are valid now, newest first; none of them is trusted for it."""
    relations = relations or Relations()
    roots = (
        certificate
        for certificate in dict.fromkeys(bag)
        if is_self_signed(certificate, relations)
        and not (ca_problem(certificate, relations) or validity_problem(certificate, now))
    )
    return _newest_first(roots)


def same_key(one: x509.Certificate, other: x509.Certificate) -> bool:
    """Whether two certificates are for the same SubjectPublicKeyInfo (EST-122: key identifiers may be wrong)."""
    return spki(one) == spki(other)


def spki(holder: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    """DER SubjectPublicKeyInfo of a certificate or request."""
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _only_root(bag: list[x509.Certificate], now: datetime, url: str | None, relations: Relations) -> x509.Certificate:
    roots = usable_roots(bag, now, relations)
    at = f"{url}: " if url else ""
    if not roots:
        raise RemoteProtocolError(
            f"{at}the CA certificates hold no self-signed CA certificate that is valid now",
            hint="check this machine's clock; if it is right, give the CA's root as anchor, or ask the CA's operator",
            url=url,
        )
    newest, *others = roots
    for other in others:
        if not _linked(other, newest, bag, relations):
            raise RemoteProtocolError(
                f"{at}the CA certificates hold unrelated roots: {name_of(newest)}; {name_of(other)}",
                hint="pin the fingerprint of the right one, or give it as an anchor",
                url=url,
            )
    return newest


def _linked(old: x509.Certificate, new: x509.Certificate, bag: list[x509.Certificate], relations: Relations) -> bool:
    """Whether the newer root vouches for the older one's key and name: OldWithNew (RFC 4210 section 4.4)."""
    return any(_same_name_and_key(link, old, relations) and relations.issued_by(link, new) for link in bag)


def _add_rolled_over(
    bag: list[x509.Certificate], anchors: list[x509.Certificate], now: datetime, relations: Relations
) -> None:
    """Add roots vouched for by NewWithOld, again and again: a device may have slept through two rollovers.

    Roots from before the anchor stay out: OldWithNew is all it takes to follow what they signed, and ends in time.
    """
    candidates = [root for root in usable_roots(bag, now, relations) if root not in anchors]
    vouched = {link: _vouched_for(link, candidates, now, relations) for link in bag}
    for old in anchors:  # grows on the way
        if validity_problem(old, now):
            continue
        for link, roots in vouched.items():
            if roots and relations.issued_by(link, old):
                younger = (root for root in roots if root.not_valid_before_utc >= old.not_valid_before_utc)
                anchors.extend(root for root in younger if root not in anchors)


def _vouched_for(
    link: x509.Certificate, roots: list[x509.Certificate], now: datetime, relations: Relations
) -> list[x509.Certificate]:
    """The roots `link` is NewWithOld for, if an anchor of that name made it: same name, same key."""
    if not is_self_issued(link):
        return []
    if validity_problem(link, now) or ca_problem(link, relations) or critical_problem(link):
        return []
    return [root for root in roots if root != link and _same_name_and_key(link, root, relations)]


def _same_name_and_key(one: x509.Certificate, other: x509.Certificate, relations: Relations) -> bool:
    """EST-122: key identifiers may be wrong, so whole keys are compared."""
    return relations.subject(one) == relations.subject(other) and relations.same_key(one, other)


def _problem(
    certificate: x509.Certificate,
    bag: list[x509.Certificate],
    anchors: list[x509.Certificate],
    now: datetime,
    relations: Relations,
    inputs: PathInputs,
) -> str | None:
    problem = ca_problem(certificate, relations)
    if problem:
        return problem
    try:
        find_path(certificate, intermediates=bag, anchors=anchors, now=now, relations=relations, inputs=inputs)
    except VerificationError as error:
        if is_self_signed(certificate, relations) and not validity_problem(certificate, now):
            return "a root that no trusted anchor vouches for"
        return error.message
    return None


def _without_ended(
    anchors: tuple[x509.Certificate, ...], bag: list[x509.Certificate], now: datetime, relations: Relations
) -> tuple[x509.Certificate, ...]:
    """EST-122: an old anchor goes when it expires, or when OldWithNew by a newer one did, but never the last one."""
    alive = tuple(anchor for anchor in anchors if not validity_problem(anchor, now))
    kept = (
        anchor
        for place, anchor in enumerate(alive)
        if not any(_ended_by(anchor, newer, bag, now, relations) for newer in alive[:place])
    )
    return tuple(kept) or anchors


def _ended_by(
    old: x509.Certificate, new: x509.Certificate, bag: list[x509.Certificate], now: datetime, relations: Relations
) -> bool:
    """Whether every OldWithNew for this root by that one has expired, and there is one (RFC 4210 section 4.4.1)."""
    if relations.same_key(old, new):
        return False
    links = [link for link in bag if _same_name_and_key(link, old, relations) and relations.issued_by(link, new)]
    return bool(links) and all(link.not_valid_after_utc < now and validity_problem(link, now) for link in links)


def _newest_first(certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Roots before intermediates that somebody made an anchor; then the latest notAfter, then the latest notBefore."""

    def rank(one: x509.Certificate) -> tuple[bool, datetime, datetime]:
        return is_self_issued(one), one.not_valid_after_utc, one.not_valid_before_utc

    return tuple(sorted(certificates, key=rank, reverse=True))
