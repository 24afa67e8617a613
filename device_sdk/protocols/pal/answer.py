"""Asking for a package availability list, and reading what comes (RFC 8295 sections 2.2 and 2.3; P-01 to P-03)."""

from __future__ import annotations

from datetime import datetime

from device_sdk.errors import WireError
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.protocols.est.refusals import refuse, unreadable
from device_sdk.wire.pal import PalEntry, read_pal
from device_sdk.wire.pal.reader import MAX_PAL_BYTES

# JSON first: it needs no schema that has to be mended, and json is in memory anyway where state is kept
_ACCEPT = "application/json, application/xml;q=0.9"


def pal_request(target: str) -> HttpRequest:
    """GET a list, in either form.

    Args:
        target: of the first list, or of the one an entry 0001 leads to.
    """
    return HttpRequest("GET", target, (("Accept", _ACCEPT),), limit_bytes=MAX_PAL_BYTES, operation="pal")


def read_pal_answer(response: HttpResponse, now: datetime) -> tuple[PalEntry, ...]:
    """The entries of a list; none if the server has no list for this client (204, 404).

    The Content-Type is not looked at: the body says which form it has (G-08).

    Raises:
        HttpStatusError: another status.
        RemoteProtocolError: neither form of a list.
    """
    status = response.status_code
    if status in (204, 404):
        return ()
    if status != 200:
        refuse(response, now)
    try:
        return read_pal(response.body)
    except WireError as error:
        raise unreadable(response, error) from error
