"""Which redirects are followed (RFC 7030 section 3.2.1, EST-27 to EST-31)."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from device_sdk.errors import ConfigurationError, RedirectRefusedError
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.model.urls import shown_url
from device_sdk.protocols.est.server_text import printable
from device_sdk.protocols.est.urls import origin_of

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
_MAX_LOCATION_CHARS = 2048


def redirect_target(request: HttpRequest, response: HttpResponse, origin: str) -> str:
    """The origin-form target on the same origin that the request is repeated at, with its method unchanged.

    A POST stays a POST whatever the code: only so does "redirect" mean anything for an enrolment. 303 asks for a GET
    instead and is refused after a POST (EST-31, spec section 11).

    Args:
        request: what was sent.
        response: the redirect.
        origin: the origin of the connection, as in `EstEndpoint.origin`.

    Raises:
        RedirectRefusedError: another origin, no usable Location, or 303 after a POST. Another origin is never
            followed: neither the trust decision nor the credentials of this one are good there.
    """
    location = response.header("Location") or ""
    shown = printable(shown_url(location), 200)

    def refuse(why: str) -> RedirectRefusedError:
        return RedirectRefusedError(
            f"{request.method} {response.url}: redirect refused: {why}",
            url=response.url,
            status_code=response.status_code,
            location=shown or None,
        )

    if not location or len(location) > _MAX_LOCATION_CHARS or not location.isascii() or not location.isprintable():
        raise refuse("its Location is missing, too long or not printable")
    if " " in location or "\\" in location:
        raise refuse("its Location is not a URI")
    if response.status_code == 303 and request.method != "GET":
        raise refuse("303 would turn the request into a GET")
    try:
        parts = urlsplit(urljoin(response.url, location))
        there = origin_of(f"{parts.scheme}://{parts.netloc}")
    except (ValueError, ConfigurationError) as error:
        raise refuse("its Location is not an https URL") from error
    if there != origin:
        raise refuse(f"it leads to {there}; configure that server if you mean it")
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
