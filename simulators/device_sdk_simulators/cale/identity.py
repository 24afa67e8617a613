"""Proof of identity at registration: a password, a bearer token or a TLS client certificate (CALE-02, draft section 4.1)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from device_sdk_simulators.cale.client_lists import ClientLists
from device_sdk_simulators.cale.names import why_refused
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.login import HttpLogin
from device_sdk_simulators.guessing import Guesses
from device_sdk_simulators.http.messages import Headers, HttpError, Request
from device_sdk_simulators.passwords import REALM

Identify: TypeAlias = Callable[[Request], Client]
"""Says who sent a request; HttpError 401 or 403 for a proof that does not hold."""


class Tokens:
    """Bearer tokens (RFC 6750) and whose they are; only hashes are kept.

    Args:
        tokens: name of the owner by token.
    """

    def __init__(self, tokens: dict[str, str] | None = None) -> None:
        self._owners: dict[bytes, str] = {}
        for token, name in (tokens or {}).items():
            self.add(name, token)

    def add(self, name: str, token: str) -> None:
        """Let somebody in with this token."""
        self._owners[_digest(token)] = name

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._owners)

    def owner_of(self, token: str) -> str | None:
        """Whose token it is, None for nobody's."""
        digest = _digest(token)
        # every entry is looked at, so that time says nothing about any of them
        found = [name for known, name in self._owners.items() if hmac.compare_digest(known, digest)]
        return found[0] if found else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def with_tokens(tokens: Tokens, otherwise: Identify, guesses: Guesses | None = None) -> Identify:
    """Bearer tokens first, and what else there is for everybody without one; wrong ones cost pauses by address."""

    def identify(request: Request) -> Client:
        values = request.header_values("Authorization")
        scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            return otherwise(request)
        known, shown = partial(tokens.owner_of, token.strip()), token.strip().encode(errors="replace")
        # a token names nobody; a user name has no colon
        owner = guesses.judge("bearer:", request.source, known, proof=shown, personal=False) if guesses else known()
        if owner is None:
            raise HttpError(401, "", [("WWW-Authenticate", 'Bearer error="invalid_token"')])
        return Client(owner, scheme="bearer")

    return identify


class Proofs:
    """Who a client of an edge device is.

    Args:
        login: passwords.
        tokens: bearer tokens.
        anchors: CAs whose certificates prove the identity in their common name, the EST server's for example.
        clock: judges certificates.
        guesses: what wrong tokens cost.
        lists: who of the CAs' devices is revoked; None if that is not known, and nobody is.
    """

    def __init__(
        self,
        login: HttpLogin,
        tokens: Tokens,
        anchors: Sequence[x509.Certificate],
        clock: Callable[[], datetime],
        guesses: Guesses,
        lists: ClientLists | None = None,
    ) -> None:
        self._login = login
        self._tokens = tokens
        self._anchors = anchors
        self._clock = clock
        self._lists = lists
        self._proven = with_tokens(tokens, self._without_token, guesses)

    def identify(self, request: Request) -> Client:
        """Who sent a request; HttpError 401 or 403 for a proof that does not hold."""
        try:
            return self._proven(request)
        except HttpError as error:
            if error.status != 401:
                raise
            raise HttpError(401, error.text, self.challenges(error.headers)) from error

    def challenges(self, said: Headers | None = None) -> Headers:
        """WWW-Authenticate for every scheme by which anybody here can prove an identity, whatever was wrong with a proof.

        Args:
            said: challenges there are already; those for passwords stay, as Digest says there that a nonce is too old.
        """
        bearer = [("WWW-Authenticate", f'Bearer realm="{REALM}"')] if self._tokens else []
        if bearer and not self._login.has_users():
            return bearer
        # also without users and tokens: a 401 has a challenge in any case (RFC 9110 section 15.5.2)
        passwords = [field for field in said or () if not field[1].startswith("Bearer ")]
        return [*(passwords or self._login.challenges()), *bearer]

    def _without_token(self, request: Request) -> Client:
        found = self._login.identify(request)
        user, scheme = (found.user, found.scheme) if found else (None, "basic")
        chain = request.tls.client_chain
        if not chain:
            return Client(user, scheme=scheme)
        certificate = chain[0]
        if not any(_issued_by(certificate, anchor) for anchor in self._anchors):
            raise HttpError(403, "the TLS client certificate proves nothing here")
        if not certificate.not_valid_before_utc <= self._clock() <= certificate.not_valid_after_utc:
            raise HttpError(403, "the TLS client certificate is not in its validity")
        refused = self._lists.why_refused(certificate, self._clock()) if self._lists else None
        if refused:
            raise HttpError(403, refused)
        return Client(user, certificate, scheme=scheme)


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def proven_name(client: Client) -> str | None:
    """The name a client proved to have; None if it proved nothing that counts for CALE.

    Raises:
        HttpError: 403 for a certificate without exactly one common name, and for a name that nobody may have.
    """
    if client.user is not None:
        name = client.user
    elif client.certificate is None or client.third_party:
        return None
    else:
        names = client.certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        if len(names) != 1:
            # a whole subject as text could be the common name of somebody else
            raise HttpError(403, "the TLS client certificate has not exactly one common name")
        name = str(names[0].value)
    refused = why_refused(name)
    if refused:
        raise HttpError(403, refused)
    return name
