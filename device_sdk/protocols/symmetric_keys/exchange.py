"""GET /symmetrickeys (RFC 8295 section 5.1); the way back is `protocols.key_packages.returning`."""

from __future__ import annotations

from datetime import datetime

from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.protocols.est.refusals import refuse


def symmetric_keys_request(target: str) -> HttpRequest:
    """GET a package (K-01)."""
    return HttpRequest("GET", target, operation="symmetrickeys")


def read_symmetric_keys(response: HttpResponse, now: datetime) -> bytes | None:
    """The message of an answer, as it came; None for 404 and 204, which mean that there is none (AMB-22).

    The Content-Type does not count: what it is, the bytes say (G-08).

    Raises:
        HttpStatusError: another status than 200.
    """
    if response.status_code in (204, 404):
        return None
    if response.status_code != 200:
        refuse(response, now)
    return response.body
