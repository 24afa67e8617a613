"""Reading the answers of an edge device.

An answer that does not open, one that is no message at all, and one that opens to something else than was asked for
are the same: not for us (CALE-09, CALE-10). The client does not ask again and tells the server nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn, TypeAlias, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.errors import (
    AuthenticationRequiredError,
    HttpStatusError,
    NotForUsError,
    RedirectRefusedError,
    WireError,
)
from device_sdk.model.http import HttpResponse
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.est.challenge import parse_challenges, schemes_of
from device_sdk.protocols.est.redirects import REDIRECT_STATUSES
from device_sdk.protocols.est.server_text import printable, server_text
from device_sdk.wire.cale import parse_certificate, parse_guid
from device_sdk.wire.cms import open_envelope

ContentCheck: TypeAlias = Callable[[bytes], object]
"""Looks at a plaintext; ValueError or WireError means that it is not what was asked for (json.loads will do)."""

Result = TypeVar("Result")


def read_registration(response: HttpResponse, key: PrivateKey) -> str:
    """The GUID that a registration was given (CALE-03).

    Raises:
        NotForUsError: the answer holds no GUID that this key can read.
        AuthenticationRequiredError, HttpStatusError, RedirectRefusedError: the edge device refused.
    """
    if response.status_code not in (200, 201):
        _refused(response)
    return open_answer(response.body, key, response.url, parse_guid)


def read_resource(response: HttpResponse, key: PrivateKey, check: ContentCheck | None = None) -> bytes:
    """The plaintext of a resource (CALE-05).

    Args:
        response: the answer.
        key: the registered key.
        check: says whether the plaintext is what was asked for (CALE-09).

    Raises:
        NotForUsError: decoy, revoked, unknown, altered, or refused by `check`.
        HttpStatusError, RedirectRefusedError: the edge device refused.
    """
    if response.status_code != 200:
        _refused(response)

    def parse(plaintext: bytes) -> bytes:
        if check is not None:
            check(plaintext)
        return plaintext

    return open_answer(response.body, key, response.url, parse)


def read_whoami(response: HttpResponse, key: PrivateKey) -> x509.Certificate:
    """The certificate that the authorization server makes for this registration; it is for our own key (CALE-09).

    Raises:
        NotForUsError, HttpStatusError, RedirectRefusedError: as read_resource.
    """
    if response.status_code != 200:
        _refused(response)

    def parse(plaintext: bytes) -> x509.Certificate:
        certificate = parse_certificate(plaintext)
        if _spki(certificate.public_key()) != _spki(key.public_key()):
            raise WireError("a certificate for another key")
        return certificate

    return open_answer(response.body, key, response.url, parse)


def open_answer(
    body: bytes,
    keys: PrivateKey | Sequence[PrivateKey],
    url: str,
    parse: Callable[[bytes], Result],
    *,
    limit_bytes: int | None = None,
) -> Result:
    """Decrypt a body and read it; one error for everything that can be wrong with it.

    Args:
        body: the answer's body.
        keys: what may open it.
        url: where it came from, for the error.
        parse: reads the plaintext; its ValueErrors and WireErrors mean "not for us". Must not return None.
        limit_bytes: the largest body looked at; None if it has been bounded already.

    Raises:
        NotForUsError: it is not for us.
        KeyStoreError: the key could not be used.
    """
    try:
        result = parse(open_envelope(body, keys, limit_bytes=len(body) if limit_bytes is None else limit_bytes))
    except (WireError, ValueError):
        result = None
    # raised here so that no cause hangs on it
    if result is None:
        raise NotForUsError(
            f"{url}: the answer is not for this key: the registration is revoked or unknown, or the answer is no real one",
            hint="register again if this lasts",
            url=url,
        )
    return result


def _spki(public_key: object) -> bytes:
    if not hasattr(public_key, "public_bytes"):
        raise WireError("a key of an unknown kind")
    encoded: bytes = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _refused(response: HttpResponse) -> NoReturn:
    """Raise what any status but success means; what the server said is shown and never parsed as a result."""
    status, said = response.status_code, server_text(response)
    if status == 401:
        raise AuthenticationRequiredError(
            f"{response.url}: the edge device wants a proof of identity, or refused the one given",
            hint="give a user name and password, a bearer token or a client certificate",
            url=response.url,
            status_code=status,
            server_text=said,
            schemes=schemes_of(parse_challenges(response.header_values("WWW-Authenticate"))),
        )
    if status in REDIRECT_STATUSES:
        location = printable(response.header("Location") or "", 200)
        raise RedirectRefusedError(
            f"{response.url}: redirect refused: a GUID and a proof of identity stay where they belong",
            url=response.url,
            status_code=status,
            location=location or None,
        )
    raise HttpStatusError(
        f"{response.url}: the edge device answered {status}" + (f": {said}" if said else ""),
        url=response.url,
        status_code=status,
        server_text=said,
    )
