"""Reading the answers of the EST core operations (RFC 7030 sections 4.1.3, 4.2.3, 4.5.2; RFC 8951 section 3)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from device_sdk.errors import RemoteProtocolError, WireError
from device_sdk.model.http import HttpResponse
from device_sdk.protocols.est.media import CSRATTRS, PKCS7, parse_media_type
from device_sdk.protocols.est.refusals import refuse, unreadable
from device_sdk.protocols.est.retry_after import parse_retry_after
from device_sdk.protocols.est.server_text import printable, server_text
from device_sdk.wire.certs_only import read_certs_only
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.transfer import decode_body


@dataclass(frozen=True)
class Pending:
    """202: accepted, not issued yet; or, with another status, not even that.

    Attributes:
        retry_after_s: how long to wait before asking again, in seconds.
        server_text: what else the server said, printable, or None.
        status_code: 202; 429 or 503 if the server is overloaded; 0 if it could not be reached.
    """

    retry_after_s: float
    server_text: str | None = None
    status_code: int = 202


def read_cacerts(response: HttpResponse, now: datetime) -> tuple[x509.Certificate, ...]:
    """The certificates of a /cacerts answer, at least one, in no particular order and not yet trusted (EST-45, EST-114).

    Raises:
        HttpStatusError: any status but 200.
        RemoteProtocolError: not a certs-only message, or an empty one.
    """
    if response.status_code != 200:
        refuse(response, now)
    return _certificates(response)


def read_csrattrs(response: HttpResponse, now: datetime) -> CsrAttributes:
    """What the server wants in a CSR; an empty list for 204 and 404, which mean that it has no wishes (EST-171).

    Raises:
        HttpStatusError: another status.
        RemoteProtocolError: not a CSR attributes message.
    """
    if response.status_code in (204, 404):
        return CsrAttributes.none()
    if response.status_code != 200:
        refuse(response, now)
    _require_media(response, CSRATTRS)
    try:
        return CsrAttributes.from_bytes(decode_body(response.body))
    except WireError as error:
        raise unreadable(response, error) from error


def read_enrolment(response: HttpResponse, now: datetime) -> tuple[x509.Certificate, ...] | Pending:
    """The certificates of an enrolment's answer, not yet checked, or Pending for 202 (EST-138, EST-161, EST-162).

    201 counts as 200: servers exist that say "created".

    Raises:
        HttpStatusError: another status.
        RemoteProtocolError: not a certs-only message, or an empty one.
    """
    if response.status_code == 202:
        wait_s = parse_retry_after(response.header("Retry-After"), now)
        return Pending(wait_s, server_text(response))
    if response.status_code not in (200, 201):
        refuse(response, now)
    return _certificates(response)


def _certificates(response: HttpResponse) -> tuple[x509.Certificate, ...]:
    _require_media(response, PKCS7)
    try:
        certificates = read_certs_only(response.body)
    except WireError as error:
        raise unreadable(response, error) from error
    if not certificates:
        raise RemoteProtocolError(
            f"{response.shown_url}: the answer holds no certificate",
            hint="the fault is the server's: look into its log, or ask its operator; then try again",
            url=response.url,
            status_code=response.status_code,
        )
    return certificates


def _require_media(response: HttpResponse, accepted: Collection[str]) -> None:
    """EST-166: text with 200 is no success. A missing type is accepted, as the body still has to decode."""
    media = parse_media_type(response.header("Content-Type"))
    if media.name and media.name not in accepted:
        said = server_text(response)
        raise RemoteProtocolError(
            f"{response.shown_url}: {response.status_code} with Content-Type {printable(media.name, 100)!r}, expected "
            f"{sorted(accepted)[0]!r}" + (f"; it says: {said}" if said else ""),
            hint="something else than an EST service may have answered (a portal, a proxy): check URL and label, then ask "
            "the server's operator",
            url=response.url,
            status_code=response.status_code,
        )
