"""/firmware and /firmware/return: what is asked, and what the answers mean (RFC 8295 section 6; F-01, F-02, FR-01, FR-02)."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from device_sdk.model.http import BodySink, HttpRequest, HttpResponse
from device_sdk.protocols.est.responses import refuse

RETURN = "return"
Report = Literal["firmwareLoadReceipt", "firmwareLoadError"]


def firmware_request(target: str, into: BodySink, limit_bytes: int, total_s: float) -> HttpRequest:
    """GET /firmware, or one package of it."""
    return HttpRequest(
        "GET",
        target,
        (("Accept", "application/cms"),),
        limit_bytes=limit_bytes,
        operation="firmware",
        into=into,
        total_s=total_s,
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


def report_request(target: str, body: bytes, inner: Report, *, signed: bool) -> HttpRequest:
    """POST a receipt or an error; the type says what is inside (RFC 7193 section 2; G-06, G-09)."""
    encapsulating = "encapsulatingContent=signedData; " if signed else ""
    media = f"application/cms; {encapsulating}innerContent={inner}"
    return HttpRequest("POST", target, (("Content-Type", media),), body, operation="firmware/return")


def check_reported(response: HttpResponse, now: datetime) -> None:
    """Make sure that the server took a report: 204, or 200 from those that know no better.

    Raises:
        HttpStatusError: it did not.
    """
    if response.status_code not in (200, 204):
        refuse(response, now)
