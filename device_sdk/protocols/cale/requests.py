"""The requests of a CALE client (sections 4.1 to 4.3 of the draft)."""

from __future__ import annotations

import re
from urllib.parse import quote

from device_sdk.errors import ConfigurationError, LocalProtocolError
from device_sdk.model.credentials import Credentials
from device_sdk.model.http import HttpRequest
from device_sdk.model.secret import Secret
from device_sdk.model.urls import shown_url, split_url, without_query
from device_sdk.protocols.est.challenge import basic_authorization
from device_sdk.protocols.est.media import PKCS10
from device_sdk.protocols.est.urls import origin_of
from device_sdk.wire.cale import GUID_HEADER, is_guid
from device_sdk.wire.transfer import encode_body

MAX_ANSWER_BYTES = 3 * 1024 * 1024 // 2
"""Of an encrypted answer: a document of 1 MiB, which edge devices commonly let pass, with what encryption and base64 add."""
READ_ONLY_METHODS = frozenset({"GET", "HEAD"})

_REGISTRATION = "/registration"
WHOAMI = "/whoami"
# What RFC 3986 allows in path and query; "%" stands, as the caller may have encoded already.
_TARGET_SAFE = "/?:@!$&'()*+,;=%~"
_BEARER = re.compile(rb"[A-Za-z0-9._~+/-]+=*")


def edge_origin(url: str) -> str:
    """The origin of an edge device, "https://HOST[:PORT]".

    Raises:
        ConfigurationError: not https, a path, a query, or user information in it.
    """
    shown = shown_url(url)
    parts = split_url(url)
    if parts.scheme != "https":
        raise ConfigurationError(
            f"{shown}: CALE runs over https only (CALE-07)", hint="https://HOST or https://HOST:PORT"
        )
    if parts.path not in ("", "/") or any(mark in url for mark in "?#"):
        raise ConfigurationError(f"{shown}: an edge device is an origin; its URL has no path and no query")
    return origin_of(url)


def proof_of_identity(credentials: Credentials | None, bearer: Secret | None) -> str | None:
    """The Authorization value for a registration: Basic (RFC 7617) or a bearer token (RFC 6750); None for neither.

    Raises:
        ConfigurationError: both were given, or a token that is none.
    """
    if credentials is not None and bearer is not None:
        raise ConfigurationError("both a password and a bearer token were given; one of them proves who registers")
    if credentials is not None:
        return basic_authorization(credentials)
    if bearer is None:
        return None
    token = bearer.reveal().strip()
    if not _BEARER.fullmatch(token):
        raise ConfigurationError("the bearer token has characters that a token cannot have")
    return "Bearer " + token.decode("ascii")


def registration_request(csr: bytes, authorization: str | None = None) -> HttpRequest:
    """POST /registration (appendix B.1.1): the CSR as PEM, and the proof of identity in the first request (CALE-02).

    Args:
        csr: DER of the certification request.
        authorization: see proof_of_identity; None where the TLS client certificate proves it.
    """
    body = b"-----BEGIN CERTIFICATE REQUEST-----\n" + encode_body(csr) + b"-----END CERTIFICATE REQUEST-----\n"
    proof = (("Authorization", authorization),) if authorization is not None else ()
    return HttpRequest("POST", _REGISTRATION, (("Content-Type", PKCS10), *proof), body)


def resource_request(path: str, guid: str, *, method: str = "GET", limit_bytes: int = MAX_ANSWER_BYTES) -> HttpRequest:
    """A standard request (section 4.2, appendix B.2.1).

    Args:
        path: path and query on the edge device; what a URI cannot hold is percent-encoded.
        guid: the registration's.
        method: GET or HEAD (CALE-06): whoever sees a GUID can repeat a request, so it must change nothing.
        limit_bytes: the largest acceptable answer, still encrypted.

    Raises:
        LocalProtocolError: another method, a path that does not begin with "/", or no GUID.
    """
    if method not in READ_ONLY_METHODS:
        raise LocalProtocolError(
            f"{method} {without_query(path)}: a GUID alone reads and does nothing else (GET, HEAD)"
        )
    if not path.startswith("/") or path.startswith("//"):
        raise LocalProtocolError(
            f"{without_query(path)!r} is not a path on the edge device", hint="it begins with one slash"
        )
    return HttpRequest(method, quote(path, safe=_TARGET_SAFE), (_guid_header(guid),), limit_bytes=limit_bytes)


def whoami_request(guid: str) -> HttpRequest:
    """GET /whoami (section 4.3, appendix B.3.1); LocalProtocolError without a GUID."""
    return HttpRequest("GET", WHOAMI, (_guid_header(guid),))


def _guid_header(guid: str) -> tuple[str, str]:
    if not is_guid(guid):
        raise LocalProtocolError("this is not a GUID", hint="register first, or give the GUID of the registration")
    return GUID_HEADER, guid
