"""Answers that are none: a status that refuses, and a body that cannot be read."""

from __future__ import annotations

from datetime import datetime
from typing import NoReturn

from device_sdk.errors import AuthenticationRequiredError, HttpStatusError, RemoteProtocolError, WireError
from device_sdk.model.http import HttpResponse
from device_sdk.protocols.est.challenge import parse_challenges, schemes_of
from device_sdk.protocols.est.retry_after import parse_retry_after
from device_sdk.protocols.est.server_text import server_text


def unreadable(response: HttpResponse, error: WireError) -> RemoteProtocolError:
    """The error to raise for a success whose body is not what it should be."""
    return RemoteProtocolError(
        f"{response.shown_url}: the answer cannot be read: {error.message}",
        hint=error.hint
        or "check that URL and label are those of an EST service; if they are, the fault is the server's: "
        "ask its operator",
        url=response.url,
        status_code=response.status_code,
    )


def refuse(response: HttpResponse, now: datetime) -> NoReturn:
    """Raise what any other status means; the body is shown, never parsed as a result (EST-166).

    Raises:
        AuthenticationRequiredError: 401.
        HttpStatusError: every other.
    """
    said = server_text(response)
    status = response.status_code
    if status == 401:
        schemes = schemes_of(parse_challenges(response.header_values("WWW-Authenticate")))
        raise AuthenticationRequiredError(
            f"{response.shown_url}: the server asks for authentication",
            url=response.url,
            status_code=status,
            server_text=said,
            schemes=schemes,
        )
    value = response.header("Retry-After")
    wait_s = parse_retry_after(value, now) if value is not None else None
    raise HttpStatusError(
        f"{response.shown_url}: the server answered {status}" + (f": {said}" if said else ""),
        hint=_HINTS.get(status, _FAULT if status >= 500 else _NO),
        url=response.url,
        status_code=status,
        server_text=said,
        retry_after_s=wait_s,
    )


_NO = "check URL, label and what was asked for; the server's log, or its operator, can say more"
_FAULT = "the fault is the server's: look into its log, or ask its operator; then try again"
_HINTS = {
    202: "enrolments and packages may be answered later, and this is neither: ask the server's operator",
    403: "the server knows who asks and does not allow it: ask its operator for the permission",
    404: "this server or label does not have the operation; check URL and label",
    405: "this server does not have the operation; check URL and label",
    423: "the CA is not enabled; ask its operator",
    429: "too many requests, waiting requests or wrong passwords, of this device or of others at its address: see what the "
    "server says, and try again later",
    501: "this server does not have the operation; check URL and label",
    502: "the CA behind the server cannot be reached; try again later",
    503: "the server is overloaded or down; try again later",
    504: "the CA behind the server cannot be reached; try again later",
}
