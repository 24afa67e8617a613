"""Where redirects lead, and which are followed (RFC 7030 section 3.2.1, EST-27 to EST-31)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urljoin, urlsplit

from device_sdk.errors import ConfigurationError, RedirectRefusedError
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.model.urls import shown_url
from device_sdk.protocols.est.server_text import printable
from device_sdk.protocols.est.urls import origin_of

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
_MAX_LOCATION_CHARS = 2048

RedirectRule: TypeAlias = Callable[[str, str, str], bool]
"""Asked before a request goes to another origin: the old URL, the new URL, the method. True sends it there."""


@dataclass(frozen=True)
class RedirectTarget:
    """Where a redirect leads.

    Attributes:
        origin: "https://host:port", as in `EstEndpoint.origin`.
        target: origin-form target there.
    """

    origin: str
    target: str

    @property
    def url(self) -> str:
        """The absolute URL."""
        return self.origin + self.target


def stay(_old_url: str, _new_url: str, _method: str) -> bool:
    """The rule that leaves the origin for nobody."""
    return False


def redirect_target(request: HttpRequest, response: HttpResponse) -> RedirectTarget:
    """Where the request is to be repeated, with its method unchanged.

    A POST stays a POST whatever the code: only so does "redirect" mean anything for an enrolment. 303 asks for a GET
    instead and is refused after a POST (EST-31, spec section 11).

    Args:
        request: what was sent.
        response: the redirect.

    Raises:
        RedirectRefusedError: no usable Location, not https, or 303 after a POST.
    """
    location = response.header("Location") or ""
    if not location or len(location) > _MAX_LOCATION_CHARS or not location.isascii() or not location.isprintable():
        raise redirect_refused(request, response, "its Location is missing, too long or not printable")
    if " " in location or "\\" in location:
        raise redirect_refused(request, response, "its Location is not a URI")
    if response.status_code == 303 and request.method != "GET":
        hint = "ask the server's operator for 307 or 308, or give the place it leads to as URL (--url)"
        raise redirect_refused(request, response, "303 would turn the request into a GET", hint=hint)
    try:
        parts = urlsplit(urljoin(response.url, location))
        origin = origin_of(f"{parts.scheme}://{parts.netloc}")
    except (ValueError, ConfigurationError) as error:
        raise redirect_refused(request, response, "its Location is not an https URL") from error
    return RedirectTarget(origin, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def redirect_refused(
    request: HttpRequest, response: HttpResponse, why: str, *, hint: str | None = None
) -> RedirectRefusedError:
    """The error for a redirect that is not followed; names the place it led to."""
    shown = printable(shown_url(response.header("Location") or ""), 200)
    return RedirectRefusedError(
        f"{request.method} {response.url}: redirect refused: {why}",
        hint=hint or "the fault is the server's: ask its operator what the right URL is (--url)",
        url=response.url,
        status_code=response.status_code,
        location=shown or None,
    )
