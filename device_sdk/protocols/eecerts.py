"""/eecerts: certificates of those the client will talk to (RFC 8295 section 3; E-01 to E-06)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from device_sdk.errors import VerificationError, WireError
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.protocols.crls import RevocationList
from device_sdk.protocols.est.refusals import refuse, unreadable
from device_sdk.wire.certificate import name_of
from device_sdk.wire.certs_only import read_certs_only
from device_sdk.wire.path import find_path, is_self_issued
from device_sdk.wire.path_inputs import PathInputs
from device_sdk.wire.relations import Relations


@dataclass(frozen=True)
class PeerCertificates:
    """The certificates of one answer.

    Attributes:
        accepted: certificates of peers, each with a valid path to a trust anchor.
        rejected: every other one, and why.
    """

    accepted: tuple[x509.Certificate, ...]
    rejected: tuple[tuple[x509.Certificate, str], ...] = ()


def eecerts_request(target: str) -> HttpRequest:
    """GET /eecerts, or one package of it."""
    return HttpRequest("GET", target, operation="eecerts")


OWN = "this is the client's own certificate"
"""Why a certificate is none of a peer, though nothing is wrong with it."""


def read_eecerts(response: HttpResponse, now: datetime) -> tuple[x509.Certificate, ...]:
    """The certificates of an answer, not yet checked; none for 404 and 204, which mean that there are none (AMB-22).

    Raises:
        HttpStatusError: another status than 200 (E-02).
        RemoteProtocolError: not a certs-only message.
    """
    if response.status_code in (204, 404):
        return ()
    if response.status_code != 200:
        refuse(response, now)
    try:
        return read_certs_only(response.body)
    except WireError as error:
        raise unreadable(response, error) from error


def check_peers(
    found: Iterable[x509.Certificate],
    *,
    anchors: Sequence[x509.Certificate],
    intermediates: Sequence[x509.Certificate],
    now: datetime,
    lists: Iterable[RevocationList] = (),
    own: x509.Certificate | None = None,
) -> PeerCertificates:
    """Sort the certificates of an answer into those of peers and the rest; each is judged alone (E-03, E-06).

    Args:
        found: the certificates; CA certificates among them help no path, they come by /cacerts.
        anchors: whom to trust.
        intermediates: CA certificates that may lead to an anchor.
        now: the present.
        lists: revocation lists that are held.
        own: the client's certificate.
    """
    relations, inputs = Relations(), PathInputs(lists=tuple(one.crl for one in lists))
    accepted, rejected = [], []
    for one in dict.fromkeys(found):
        if problem := _problem(one, own) or _path_problem(one, anchors, intermediates, now, inputs, relations):
            rejected.append((one, problem))
        else:
            accepted.append(one)
    return PeerCertificates(tuple(accepted), tuple(rejected))


def _problem(certificate: x509.Certificate, own: x509.Certificate | None) -> str | None:
    if own is not None and certificate == own:
        return OWN
    if is_self_issued(certificate):
        return "it is self-issued"
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None
    return "it is a CA certificate; those come by /cacerts" if constraints.ca else None


def _path_problem(
    certificate: x509.Certificate,
    anchors: Sequence[x509.Certificate],
    intermediates: Sequence[x509.Certificate],
    now: datetime,
    inputs: PathInputs,
    relations: Relations,
) -> str | None:
    """Why there is no path, of whose certificates none is revoked."""
    try:
        find_path(
            certificate, intermediates=intermediates, anchors=anchors, now=now, relations=relations, inputs=inputs
        )
    except VerificationError as error:
        # whoever shows it names the certificate himself
        return error.message.removeprefix(f"{name_of(certificate)}: ")
    return None
