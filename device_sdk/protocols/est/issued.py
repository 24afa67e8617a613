"""Checking an issued certificate before anybody uses it (EST-138, EST-139)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.errors import CertificateMismatchError, ClockError, VerificationError
from device_sdk.model.csr import NewName
from device_sdk.model.keys import PublicKey
from device_sdk.protocols.est.ca_certificates import Ignored, spki
from device_sdk.wire.names import shown_name
from device_sdk.wire.path import CLOCK_ALLOWANCE, find_path, is_self_signed, name_of
from device_sdk.wire.path_inputs import PathInputs


@dataclass(frozen=True)
class Enrolled:
    """A certificate that passed the checks.

    Attributes:
        certificate: the one for the requested key.
        chain: the certificate first, then the CA certificates up to the anchor, which is left out if it is self-signed.
        anchor: the Explicit trust anchor it leads to.
        differences: how it differs from the request, in words; servers may change what was asked for (RFC 5272
            section 3.1).
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    anchor: x509.Certificate
    differences: tuple[str, ...] = ()


def check_issued(  # noqa: PLR0913  # every argument but the first five has a default
    answer: Iterable[x509.Certificate],
    csr: x509.CertificateSigningRequest,
    *,
    anchors: Sequence[x509.Certificate],
    intermediates: Iterable[x509.Certificate],
    now: datetime,
    url: str | None = None,
    new_name: NewName | None = None,
    public_key: PublicKey | None = None,
    ignored: Iterable[Ignored] = (),
    lists: Iterable[x509.CertificateRevocationList] = (),
    same_names: bool = False,
) -> Enrolled:
    """Pick the certificate for the request's key and check it.

    Args:
        answer: the certificates of the answer, in any order, perhaps with their chain.
        csr: what was sent.
        anchors: the Explicit trust anchors.
        intermediates: CA certificates from /cacerts.
        now: the present, with a time zone.
        url: the endpoint, for messages.
        new_name: what the request asked for by ChangeSubjectName, in the place of its own subject and SAN (EST-153).
        public_key: the key that was certified, where that is not the request's (EST-198).
        ignored: what of /cacerts is not used, for hints.
        lists: revocation lists that were checked.
        same_names: another subject than the request's, or other alternative names, are not allowed: where nothing else
            tells this answer from one to another request.

    Raises:
        ClockError: the certificate is not valid yet by more than the clocks' allowance, and otherwise as it should be;
            the error has it with its chain.
        CertificateMismatchError: no certificate for this key, an expired one, one of a CA that was not asked for, no path
            to an Explicit anchor, or one with a revoked certificate; with `same_names`, one for another name.
    """
    at = f"{url}: " if url else ""
    bag = list(answer)
    certificate = _for_key(bag, public_key or csr.public_key(), at, url)
    if _is_ca(certificate) and not _is_ca(csr):
        raise CertificateMismatchError(
            f"{at}the issued certificate is one of a CA, which nobody asked for",
            hint="it was not kept: tell the CA's operator",
            url=url,
        )
    try:
        at_best = max(now, certificate.not_valid_before_utc)
        path = find_path(
            certificate,
            intermediates=[*bag, *intermediates],
            anchors=anchors,
            now=at_best,
            inputs=PathInputs(lists=tuple(lists)),
        )
    except VerificationError as error:
        raise CertificateMismatchError(
            f"{at}the issued certificate is not usable: {error.message}",
            hint=error.hint or _hint(certificate, (*bag, *intermediates, *anchors), ignored, now),
            url=url,
        ) from error
    if len(path) < 2:
        raise CertificateMismatchError(
            f"{at}the issued certificate is itself a trust anchor",
            hint="give the CA's certificate as anchor, not the device's",
            url=url,
        )
    if same_names and (differing := [*_other_names(certificate, csr, new_name)]):
        raise CertificateMismatchError(
            f"{at}the issued certificate has not the names that were asked for: {'; '.join(differing)}",
            hint="is it the answer to another request? Nothing was kept; if this server chooses the names itself, allow that (--allow-other-name)",
            url=url,
        )
    anchor = path[-1]
    chain = path[:-1] if is_self_signed(anchor) else path
    check_not_before(chain, now, at)
    return Enrolled(certificate, chain, anchor, tuple(_differences(certificate, csr, new_name)))


def _hint(
    certificate: x509.Certificate, at_hand: Iterable[x509.Certificate], ignored: Iterable[Ignored], now: datetime
) -> str:
    """What to do about a certificate that leads nowhere."""
    if now - certificate.not_valid_after_utc > CLOCK_ALLOWANCE:
        return (
            f"this machine's clock says {now:%Y-%m-%dT%H:%M:%SZ}: set it if that is wrong, else ask the CA's operator"
        )
    if any(one.subject == certificate.issuer for one in at_hand):
        return "if this CA is the right one, add its root to the anchors"
    issuer = shown_name(certificate.issuer)
    for one in ignored:
        if one.certificate.subject == certificate.issuer:
            return f"/cacerts has {issuer}, which is not used ({one.reason}): ask the CA's operator"
    return f"{issuer} is missing: if that CA is the right one, give it and its root as anchors, as `est cacerts` writes them"


def _for_key(
    bag: list[x509.Certificate], public_key: CertificatePublicKeyTypes, at: str, url: str | None
) -> x509.Certificate:
    wanted = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    matching = [certificate for certificate in bag if spki(certificate) == wanted]
    if not matching:
        names = "; ".join(name_of(certificate) for certificate in bag[:3])
        raise CertificateMismatchError(
            f"{at}no certificate of the answer is for the requested key: {names}",
            hint="nothing of the answer was kept; try again, and if it stays so, ask the CA's operator",
            url=url,
        )
    # After a renewal with the same key an answer may hold the old certificate too.
    return max(matching, key=lambda one: one.not_valid_before_utc)


def check_not_before(chain: Sequence[x509.Certificate], now: datetime, at: str = "") -> None:
    """Refuse a certificate that is not valid yet, by more than clocks differ.

    Args:
        chain: the certificate first.
        now: the present, with a time zone.
        at: in front of the message.

    Raises:
        ClockError: it has the chain.
    """
    not_before = chain[0].not_valid_before_utc
    if not_before - now > CLOCK_ALLOWANCE:
        shown = {"now": f"{now:%Y-%m-%dT%H:%M:%SZ}", "not_before": f"{not_before:%Y-%m-%dT%H:%M:%SZ}"}
        raise ClockError(
            f"{at}the issued certificate is valid from {shown['not_before']}, this machine's clock says {shown['now']}",
            hint="set the clock and run the same command again; the key is kept",
            now=shown["now"],
            not_before=shown["not_before"],
            pem=b"".join(one.public_bytes(Encoding.PEM) for one in chain).decode("ascii"),
        )


def _is_ca(holder: x509.Certificate | x509.CertificateSigningRequest) -> bool:
    try:
        return holder.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _differences(
    certificate: x509.Certificate, csr: x509.CertificateSigningRequest, new_name: NewName | None
) -> Iterable[str]:
    yield from _other_names(certificate, csr, new_name)
    yield from _other_extensions(certificate, csr)


def _other_names(
    certificate: x509.Certificate, csr: x509.CertificateSigningRequest, new_name: NewName | None
) -> Iterable[str]:
    subject = csr.subject if new_name is None else new_name.subject or x509.Name([])
    if certificate.subject.public_bytes() != subject.public_bytes() and certificate.subject != subject:
        asked = shown_name(subject) or "(empty)"
        got = shown_name(certificate.subject) or "(empty)"
        yield f"subject: asked for {asked}, got {got}"
    got_names = _alternative_names(certificate)
    asked_names = _alternative_names(csr) if new_name is None else {repr(name) for name in new_name.san}
    for name in sorted(asked_names - got_names):
        yield f"subjectAltName: {name} is missing"
    for name in sorted(got_names - asked_names):
        yield f"subjectAltName: {name} was added"


def _other_extensions(certificate: x509.Certificate, csr: x509.CertificateSigningRequest) -> Iterable[str]:
    got_extensions = {extension.oid: extension.value for extension in certificate.extensions}
    for asked_for in sorted(csr.extensions, key=lambda one: one.oid.dotted_string):
        oid = asked_for.oid
        if oid == x509.SubjectAlternativeName.oid:
            continue
        if oid not in got_extensions:
            yield f"extension {oid.dotted_string} is missing"
        elif not _same_value(asked_for.value, got_extensions[oid]):
            yield f"extension {oid.dotted_string} has another value than the one asked for"


def _same_value(one: x509.ExtensionType, other: x509.ExtensionType) -> bool:
    """The order of usages means nothing."""
    if isinstance(one, x509.ExtendedKeyUsage) and isinstance(other, x509.ExtendedKeyUsage):
        return set(one) == set(other)
    return one == other


def _alternative_names(holder: x509.Certificate | x509.CertificateSigningRequest) -> set[str]:
    try:
        names = holder.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {repr(name) for name in names}
