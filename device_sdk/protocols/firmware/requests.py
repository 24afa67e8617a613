"""/firmware: what is asked, and what the answers mean (RFC 8295 section 6.1; F-01, F-02)."""

from __future__ import annotations

from datetime import datetime

from device_sdk.model.http import BodySink, HttpRequest, HttpResponse
from device_sdk.protocols.est.refusals import refuse


def firmware_request(target: str, into: BodySink, limit_bytes: int, total_s: float, rate: float) -> HttpRequest:
    """GET /firmware, or one package of it."""
    return HttpRequest(
        "GET",
        target,
        (("Accept", "application/cms"),),
        limit_bytes=limit_bytes,
        operation="firmware",
        into=into,
        total_s=total_s,
        rate=rate,
    )


def has_firmware(response: HttpResponse, now: datetime) -> bool:
    """Whether there is a package; False for 404 and 204 (AMB-22).

    Raises:
        HttpStatusError: another status than 200 (F-05).
    """
    if response.status_code in (204, 404):
        return False
    if response.status_code != 200:
        refuse(response, now)
    return True
