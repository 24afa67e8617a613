"""POST to a .../return path: receipts, confirms and errors (RFC 8295 sections 5.2, 6.2, 7.2 and 8.2)."""

from __future__ import annotations

from datetime import datetime

from device_sdk.errors import HttpStatusError, RemoteProtocolError
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.protocols.est.refusals import refuse
from device_sdk.protocols.est.urls import EstEndpoint, Operation

_NOT_FINAL = frozenset((401, 407, 408, 421, 423, 425, 429))
"""About who asks, where, and how often; not about the message."""
_PERHAPS_FINAL = frozenset((403, 404, 405))
"""Often about who asks or where, too: a clock that is wrong, an operation that is switched off, another label."""
PATIENCE = 24
"""How often a message is tried that these statuses are said of: a day of hourly runs."""


def return_path(operation: Operation) -> str:
    """What the path of an operation is called that takes messages: "firmware/return"."""
    return f"{operation.value}/return"


def signed_media_type(inner: str) -> str:
    """Content-Type of a SignedData over content of that name (RFC 7193 section 2; G-06, G-09)."""
    return f"application/cms; encapsulatingContent=signedData; innerContent={inner}"


def return_request(endpoint: EstEndpoint, path: str, media_type: str, body: bytes) -> HttpRequest:
    """POST a message (KR-01, FR-01, TR-01, AR-01).

    Args:
        endpoint: the service.
        path: see `return_path`.
        media_type: value of Content-Type.
        body: DER.
    """
    target = f"{endpoint.target(Operation(path.removesuffix('/return')))}/return"
    return HttpRequest("POST", target, (("Content-Type", media_type),), body, operation=path)


def check_returned(response: HttpResponse, now: datetime) -> None:
    """Make sure that the server took a message: 204, or 200 without a body (KR-04, FR-02, TR-03).

    Raises:
        HttpStatusError: it refused.
        RemoteProtocolError: a success with content.
    """
    if response.status_code not in (200, 204):
        refuse(response, now)
    if response.body:
        raise RemoteProtocolError(
            f"{response.shown_url}: an answer with content, where none was expected",
            url=response.url,
            status_code=response.status_code,
        )


def is_taken(error: RemoteProtocolError) -> bool:
    """Whether the server said that it took a message, if not as it should."""
    return not isinstance(error, HttpStatusError) and error.status_code in (200, 204)


def is_final(error: RemoteProtocolError, tries: int) -> bool:
    """Whether the server refused a message for good: it would refuse it again.

    Args:
        error: what it said.
        tries: how often it was asked before.
    """
    status = error.status_code or 0
    if status in _PERHAPS_FINAL and tries + 1 < PATIENCE:
        return False
    return isinstance(error, HttpStatusError) and 400 <= status < 500 and status not in _NOT_FINAL
