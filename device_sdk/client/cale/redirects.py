"""Where a redirect leads, so that a GUID stays with its origin whatever an HTTP library makes of a Location."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import requests
from requests.sessions import SessionRedirectMixin
from requests.utils import requote_uri
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from device_sdk.errors import RedirectRefusedError
from device_sdk.model.urls import has_userinfo, shown_url

_MAX_LOCATION_CHARS = 2048
_MAX_SHOWN_CHARS = 200


def https_origin(url: str) -> str | None:
    """The https origin of a URL, "https://HOST:PORT"; None for anything else.

    requests splits a URL with urllib.parse, urllib3 with a parser of its own, and there are URLs (with a backslash before
    an "@") which one of them reads as ours and the other as somebody else's. A URL they do not agree about has no origin.
    """
    try:
        parts, other = parse_url(url), urlsplit(url)
        port, other_port = parts.port or 443, other.port or 443
    except (LocationParseError, ValueError):
        return None
    host, other_host = (parts.host or "").strip("[]").lower(), (other.hostname or "").lower()
    if parts.scheme != "https" or not host or (host, port) != (other_host, other_port):
        return None
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def pin_redirect(response: requests.Response) -> str | None:
    """Replace the Location of a redirect by the absolute URL it was found to mean.

    requests reads some references otherwise than RFC 3986 does ("////other/" is a path here and another host there).
    After this there is nothing left to interpret: where it stays on the origin, the Location begins with that origin's own
    scheme, host and port and a slash, which no parser reads as anything else.

    Returns:
        The origin it leads to, as from `https_origin`; None if the Location is empty, which requests does not follow.

    Raises:
        RedirectRefusedError: several Locations, one that is no plain URI reference, or one that does not lead to https.
    """
    location = _location(response)
    if not location:
        return None
    try:
        target = requote_uri(urljoin(str(response.url), location))
        origin, parts = https_origin(target), urlsplit(target)
    except (ValueError, requests.RequestException):
        origin = None
    if origin is None:
        raise _refused(response, "it does not lead to an https URL", location)
    home = https_origin(str(response.url))
    base = _base(str(response.url)) if origin == home else f"https://{parts.netloc}"
    path = parts.path if parts.path.startswith("/") else f"/{parts.path}"
    query = f"?{parts.query}" if parts.query else ""
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    response.headers["Location"] = base + path + query + fragment
    return origin


def _location(response: requests.Response) -> str:
    """The Location as text, if it is one that can be read in one way only."""
    getlist = getattr(getattr(response.raw, "headers", None), "getlist", None)
    if getlist is not None and len(getlist("Location")) > 1:
        raise _refused(response, "it has several Locations")
    try:
        location = SessionRedirectMixin().get_redirect_target(response) or ""
        parts = urlsplit(location)
    except ValueError as error:
        raise _refused(response, "its Location is not a URI") from error
    if len(location) > _MAX_LOCATION_CHARS or not location.isprintable() or any(char in location for char in " \\"):
        raise _refused(response, "its Location is not a URI", location)
    # "///host", "https:host", "https:///host": an authority to some, a path to others.
    if (location.startswith("//") or parts.scheme) and not parts.netloc:
        raise _refused(response, "its Location names no host", location)
    if "@" in parts.netloc or (parts.netloc and has_userinfo(location)):
        raise _refused(response, "its Location holds user information", location)
    return location


def _base(url: str) -> str:
    """Scheme, host and port as the caller wrote them, so that the session's adapter for them is found again."""
    parts = parse_url(url)
    return f"https://{parts.host}" + (f":{parts.port}" if parts.port is not None else "")


def _refused(response: requests.Response, why: str, location: str = "") -> RedirectRefusedError:
    response.close()
    url = shown_url(str(response.url))
    shown = "".join(char if char.isprintable() else "?" for char in shown_url(location)[:_MAX_SHOWN_CHARS])
    return RedirectRefusedError(
        f"{url}: redirect refused: {why}", url=url, status_code=response.status_code, location=shown or None
    )
