"""The authorization server: keeps who registered which key, and makes a certificate for each request (CALE-45 to CALE-53)."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from sqlite3 import Row

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.cale import headers
from device_sdk_simulators.cale.certificates import Owner, make_certificate
from device_sdk_simulators.cale.ciphers import ContentCipher, content_cipher
from device_sdk_simulators.cale.decoy import DEFAULT_KIND, PublicKey, kind_of, mark_of, stand_in_key
from device_sdk_simulators.cale.envelope import seal
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.bodies import decode_body, wrap
from device_sdk_simulators.est.csr import CertificationRequest, read_csr
from device_sdk_simulators.http.messages import HttpError, Request, Response
from device_sdk_simulators.policy import Policy

_CLOCK_SKEW = timedelta(seconds=5)
_CSR_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")


@dataclass(frozen=True)
class Registration:
    """One registered key."""

    owner: Owner
    public_key: PublicKey


class AuthorizationServer:
    """One authorization server.

    Args:
        authority: its CA, which the origination server trusts.
        database: memory.
        policy: key rules, forms of the answers, lifetimes.
        clock: time of certificates.
        peers: names of the edge devices that may call.
        organization: domain that goes into certificates as DC.
        scopes: what registered owners may do, as OU.
    """

    def __init__(
        self,
        authority: Authority,
        database: Database,
        policy: Policy,
        clock: Callable[[], datetime],
        peers: tuple[str, ...] = ("edge",),
        organization: str = "reference.example",
        scopes: tuple[str, ...] = ("read",),
    ) -> None:
        self._authority = authority
        self._database = database
        self._policy = policy
        self._clock = clock
        self._peers = peers
        self._organization = organization
        self._scopes = scopes
        self._secret = database.secret("strangers of the authorization server")

    def handle(self, request: Request, peer: str) -> Response:
        """Answer one request of an edge device."""
        if peer not in self._peers:
            return Response(403)
        routes = {
            ("POST", "/registration"): self._register,
            ("GET", "/validate"): self._validate,
            ("GET", "/whoami"): self._who_am_i,
            ("POST", "/revocation"): self._revoke,
        }
        route = routes.get((request.method, request.path))
        if route is None:
            return Response(404)
        try:
            return route(request)
        except HttpError as error:
            return Response.text(error.status, error.text)

    def _register(self, request: Request) -> Response:
        identity = request.header(headers.IDENTITY)
        if not identity:
            raise HttpError(403, "no identity")
        cipher = self._cipher(request)
        csr = read_csr(decode_body(request.body, _CSR_LABELS), self._policy)
        guid = str(uuid.uuid4())
        self._database.execute(
            "INSERT INTO registrations (guid, identity, created_at, csr) VALUES (?, ?, ?, ?)",
            guid,
            identity,
            self._clock().isoformat(),
            csr.csr.public_bytes(Encoding.DER),
        )
        certificate = self._certificate(
            Registration(self._owner(identity), _encryption_key(csr)), self._policy.cale_certificate_lifetime
        )
        response = self._sealed(f"{guid}\n".encode(), certificate, cipher, misleading=True)
        response.facts = {"guid": guid}
        return response

    def _validate(self, request: Request) -> Response:
        """200 and a certificate, or 403 and the useless certificate of a key that nobody has, to make a decoy with."""
        registration = self._registration(request)
        lifetime = None if registration is None else self._policy.cale_certificate_lifetime
        certificate = self._certificate(registration or self._stranger(request), lifetime)
        status = 403 if registration is None else 200
        return Response(status, [("Content-Type", "application/x509")], certificate.public_bytes(Encoding.PEM))

    def _who_am_i(self, request: Request) -> Response:
        cipher = self._cipher(request)
        registration = self._registration(request)
        certificate = self._certificate(registration or self._stranger(request), None)
        plaintext = certificate.public_bytes(Encoding.PEM)
        if registration is None:
            plaintext = os.urandom(len(plaintext))
        response = self._sealed(plaintext, certificate, cipher, misleading=False)
        response.facts = {"decoy": True} if registration is None else {}
        return response

    def _revoke(self, request: Request) -> Response:
        changed = self._database.execute(
            "UPDATE registrations SET revoked_at = ? WHERE guid = ? AND identity = ? AND revoked_at IS NULL",
            self._clock().isoformat(),
            (request.header(headers.GUID) or "").lower(),
            request.header(headers.IDENTITY) or "",
        )
        return Response(204 if changed else 404)

    def _cipher(self, request: Request) -> ContentCipher:
        try:
            return content_cipher(request.header(headers.CIPHER) or "", aead=self._policy.cale_aead)
        except ValueError as error:
            raise HttpError(400, str(error)) from error

    def _owner(self, identity: str) -> Owner:
        # a common name has at most 64 characters (RFC 5280 appendix A.1)
        return Owner(identity[:64], self._organization, self._scopes)

    def _registration(self, request: Request) -> Registration | None:
        row = self._database.row(
            "SELECT identity, csr FROM registrations WHERE guid = ? AND revoked_at IS NULL",
            (request.header(headers.GUID) or "").lower(),
        )
        return self._read(row) if row else None

    def _read(self, row: Row) -> Registration | None:
        try:
            return Registration(self._owner(row["identity"]), _encryption_key(read_csr(row["csr"], self._policy)))
        except HttpError:
            # the policy has changed since: this key does not count any more
            return None

    def _stranger(self, request: Request) -> Registration:
        """Somebody like those who are registered, for a GUID that is not, or not any more (CALE-36).

        A revoked client keeps the kind of its key. Anybody else is like the next registration on a ring of GUIDs: kinds
        are as frequent as among clients, and a new client changes nobody but its neighbours.
        """
        guid = (request.header(headers.GUID) or "").lower()
        mark = mark_of(self._secret, guid)
        query = "SELECT identity, csr FROM registrations"
        row = (
            self._database.row(f"{query} WHERE guid = ?", guid)
            or self._database.row(f"{query} WHERE guid >= ? ORDER BY guid LIMIT 1", str(uuid.UUID(bytes=mark[:16])))
            or self._database.row(f"{query} ORDER BY guid LIMIT 1")
        )
        like = self._read(row) if row else None
        owner = like.owner if like else self._owner("nobody")
        return Registration(owner, stand_in_key(kind_of(like.public_key) if like else DEFAULT_KIND, mark))

    def _certificate(self, registration: Registration, lifetime: timedelta | None) -> x509.Certificate:
        """Valid for one request, or for no time at all (CALE-50: what /whoami shows cannot be used)."""
        now = self._clock().replace(microsecond=0)
        begin, end = (now, now) if lifetime is None else (now - _CLOCK_SKEW, now + lifetime)
        return make_certificate(self._authority, registration.owner, registration.public_key, begin, end)

    def _sealed(
        self, plaintext: bytes, certificate: x509.Certificate, cipher: ContentCipher, *, misleading: bool
    ) -> Response:
        message = seal(plaintext, certificate, cipher, hardened=self._policy.cale_hardened)
        fields = headers.encrypted_answer(self._policy.cale_headers, cipher.smime_type, misleading=misleading)
        return Response(200, fields, wrap(base64.b64encode(message), 64, b"\n"))

    def revoke(self, guid: str) -> bool:
        """Revoke a registration (CALE-51); False if there is none such, or it is revoked."""
        changed = self._database.execute(
            "UPDATE registrations SET revoked_at = ? WHERE guid = ? AND revoked_at IS NULL",
            self._clock().isoformat(),
            guid.lower(),
        )
        return changed == 1


def _encryption_key(csr: CertificationRequest) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    """The key answers are encrypted to; HttpError 400 for one that can only sign."""
    if isinstance(csr.public_key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        return csr.public_key
    raise HttpError(400, "nothing can be encrypted to this kind of key")
