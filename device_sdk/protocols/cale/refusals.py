"""What any status but success means, and what the person on the bench can do about it.

None of it depends on whether a message could be opened, so it may say what it likes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn

from device_sdk.errors import AuthenticationRequiredError, HttpStatusError, RedirectRefusedError
from device_sdk.model.http import HttpResponse
from device_sdk.model.urls import shown_url
from device_sdk.protocols.est.challenge import parse_challenges, schemes_of
from device_sdk.protocols.est.redirects import REDIRECT_STATUSES
from device_sdk.protocols.est.retry_after import MAX_RETRY_AFTER_S, read_retry_after
from device_sdk.protocols.est.server_text import printable, server_text

_LATER = (429, 503)
_HINTS = {
    400: "it does not understand this request, or takes no such key: see its log, or try another key type",
    403: "this identity may not do that here: ask who runs the edge device",
    404: "is this the CALE edge device's own URL?",
    405: "is this the CALE edge device's own URL?",
    406: "the edge device and this client have no algorithm in common: see the policy of both",
    413: "the request is larger than the edge device takes",
    415: "is this the CALE edge device's own URL?",
    431: "the request's header fields are larger than the edge device takes",
}


def refused(response: HttpResponse) -> NoReturn:
    """Raise what the status means; what the server said is shown and never parsed as a result.

    Raises:
        AuthenticationRequiredError: 401.
        RedirectRefusedError: a GUID and a proof of identity stay where they belong (CALE-13).
        HttpStatusError: any other.
    """
    status, said = response.status_code, server_text(response)
    if status == 401:
        raise _unauthenticated(response, said)
    if status in REDIRECT_STATUSES:
        location = printable(shown_url(response.header("Location") or ""), 200)
        raise RedirectRefusedError(
            f"{response.url}: redirect refused: a GUID and a proof of identity stay where they belong",
            url=response.url,
            status_code=status,
            location=location or None,
        )
    later_s = _retry_after(response) if status in _LATER else None
    raise HttpStatusError(
        f"{response.url}: the edge device answered {status}" + (f": {said}" if said else ""),
        hint=_hint(status, later_s),
        url=response.url,
        status_code=status,
        server_text=said,
        retry_after_s=later_s,
    )


def _unauthenticated(response: HttpResponse, said: str | None) -> AuthenticationRequiredError:
    schemes = schemes_of(parse_challenges(response.header_values("WWW-Authenticate")))
    offered = f"; it takes {', '.join(schemes)}" if schemes else ""
    return AuthenticationRequiredError(
        f"{response.url}: the edge device wants a proof of identity, or refused the one given",
        hint=f"give a user name and password, a bearer token or a client certificate{offered}",
        url=response.url,
        status_code=401,
        server_text=said,
        schemes=schemes,
    )


def _hint(status: int, later_s: float | None) -> str | None:
    if later_s is not None:
        return f"it asks to come back in {later_s:.0f} s; nothing was lost"
    if status in _LATER:
        return "it has no time now: come back later; nothing was lost"
    return _HINTS.get(
        status, "the edge device, or what is behind it, is in trouble: try later" if status >= 500 else None
    )


def _retry_after(response: HttpResponse) -> float | None:
    """Seconds; a date is read by the server's own clock, as this layer has none."""
    asked = response.header("Retry-After") or ""
    try:
        now = parsedate_to_datetime(response.header("Date") or "").astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        if not asked.strip().isdecimal():
            return None
        now = datetime.min.replace(tzinfo=UTC)  # seconds mean the same at any time
    asked_s = read_retry_after(asked, now)
    return None if asked_s is None else min(asked_s, MAX_RETRY_AFTER_S)
