"""The authorization server: keeps who registered which key, and makes a certificate for each request (CALE-45 to CALE-53)."""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.cale import headers
from device_sdk_simulators.cale.capabilities import EXTENSION, extension_in, fit, read_capabilities, without_responses
from device_sdk_simulators.cale.certificates import Owner, make_certificate
from device_sdk_simulators.cale.ciphers import ContentCipher, content_cipher
from device_sdk_simulators.cale.envelope import seal, unreadable
from device_sdk_simulators.cale.log_tags import LOG_SECRET, log_tag
from device_sdk_simulators.cale.models import Models
from device_sdk_simulators.cale.names import fits_certificate, why_refused
from device_sdk_simulators.cale.padding import PEM, padded
from device_sdk_simulators.cale.records import CsrRecord, RecordStore
from device_sdk_simulators.cale.stand_ins import DEFAULT_KIND, PublicKey, kind_of, mark_of, stand_in_key
from device_sdk_simulators.est.bodies import decode_body, in_lines
from device_sdk_simulators.est.csr import CertificationRequest, read_csr
from device_sdk_simulators.http.messages import HttpError, Request, Response
from device_sdk_simulators.policy import Policy

CIPHERS_PATH = "/ciphers"
"""Where a role says which cipher suites it knows (CALE-29)."""

LONGEST_CSR = 16 * 1024
"""Bytes of a certificate request in DER: several times what the largest keys and a chain in an attribute take."""

_CSR_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")


@dataclass(frozen=True)
class Registration:
    """One registered key."""

    owner: Owner
    public_key: PublicKey
    capabilities: x509.UnrecognizedExtension | None = None


class AuthorizationServer:
    """One authorization server.

    Args:
        authority: its CA, which the origination server trusts.
        records: memory.
        policy: key rules, forms of the answers, lifetimes.
        clock: time of certificates.
        peers: names of the edge devices that may call.
        organization: domain that goes into certificates as DC.
    """

    def __init__(
        self,
        authority: Authority,
        records: RecordStore,
        policy: Policy,
        clock: Callable[[], datetime],
        peers: tuple[str, ...] = ("edge",),
        organization: str = "reference.example",
    ) -> None:
        self._authority = authority
        self._records = records
        self._policy = policy
        self._clock = clock
        self._peers = peers
        self._organization = organization
        self._secret = records.secret("strangers of the authorization server")
        self._log_secret = records.secret(LOG_SECRET)
        self._models = Models(records, lambda: policy.cale.strangers_like)

    def handle(self, request: Request, peer: str) -> Response:
        """Answer one request of an edge device."""
        if peer not in self._peers:
            return Response(403, facts={"reason": "not a listed peer"})
        routes = {
            ("POST", "/registration"): self._register,
            ("GET", "/validate"): self._validate,
            ("GET", "/whoami"): self._who_am_i,
            ("POST", "/revocation"): self._revoke,
            ("GET", CIPHERS_PATH): self._ciphers,
        }
        route = routes.get((request.method, request.path))
        if route is None:
            return Response(404)
        try:
            response = route(request)
        except HttpError as error:
            response = Response.text(error.status, error.text)
        known = {"operation": request.path[1:], "correlation": request.header(headers.CORRELATION)}
        response.facts = known | response.facts
        return response

    def _register(self, request: Request) -> Response:
        identity = headers.identity_of(request)
        if not identity:
            raise HttpError(403, "no identity")
        refused = why_refused(identity)
        if refused:
            raise HttpError(403, refused)
        cipher = self._cipher(request)
        der = decode_body(request.body, _CSR_LABELS)
        if len(der) > LONGEST_CSR:
            raise HttpError(413, f"the certificate request may have {LONGEST_CSR} bytes")
        csr = self._read_csr(der)
        registration = Registration(self._owner(identity), _encryption_key(csr), self._capabilities(csr))
        self._check_quota(identity)
        guid = str(uuid.UUID(bytes=os.urandom(16), version=4))
        certificate = self._certificate(registration, self._policy.cale_certificate_lifetime)
        response = self._sealed(f"{guid}\n".encode(), certificate, cipher, misleading=True)
        # what cannot be answered is not kept: strangers are like records, and must not be like one that does not work
        self._records.add(CsrRecord(guid, identity, csr.csr.public_bytes(Encoding.DER), self._clock()))
        response.facts = {"registration": self._tag(guid), "owner": identity, "key": csr.spki_sha256[:16]}
        if _shape(registration) not in [_shape(one) for one in map(self._read, self._models.all()) if one]:
            # its kind tells everybody that it is somebody's; --strangers-like is the remedy
            response.facts["strangers"] = "no stranger is like this client"
        return response

    def _capabilities(self, csr: CertificationRequest) -> x509.UnrecognizedExtension | None:
        """What goes into certificates of what the client says it decrypts; HttpError 400."""
        extension = _capabilities(csr)
        if extension is None or self._policy.cale.inside == "http":
            return extension
        return without_responses(extension)

    def _check_quota(self, identity: str) -> None:
        """HttpError 403 for who has used up the disk that one owner may have; there is nothing to hide from an owner."""
        most = self._policy.cale.registrations
        if most and self._records.count(identity) >= most:
            raise HttpError(
                403, f"{identity} has {most} registrations, and may have no more (the server's --max-registrations)"
            )

    def _validate(self, request: Request) -> Response:
        """200 and a certificate, or 403 and a useless one to make a decoy with: of a key nobody has, or of who was revoked."""
        guid = headers.only(request, headers.GUID).lower()
        registration, known = self._who(guid)
        facts = self._about(guid, registration, known=known)
        if not known and self._policy.cale.decoys == "draft":
            return Response(403, facts=facts)
        certificate = self._certificate(registration, self._policy.cale_certificate_lifetime if known else None)
        facts["certificate"] = f"{certificate.serial_number:x}"
        body = certificate.public_bytes(Encoding.PEM)
        return Response(200 if known else 403, [("Content-Type", "application/x509")], body, facts=facts)

    def _who_am_i(self, request: Request) -> Response:
        cipher = self._cipher(request)
        guid = headers.only(request, headers.GUID).lower()
        registration, known = self._who(guid)
        certificate = self._certificate(registration, None)
        real = padded(certificate.public_bytes(Encoding.PEM), PEM, self._policy.cale.padding)
        response = self._sealed(real, certificate, cipher, misleading=False, readable=known)
        if not known and self._policy.cale.decoys == "draft":
            # section 4.3: "a random salt large enough to be reasonably mistaken"
            response.body = in_lines(os.urandom(len(base64.b64decode(response.body))))
        response.facts = self._about(guid, registration, known=known)
        return response

    def _revoke(self, request: Request) -> Response:
        guid = headers.only(request, headers.GUID).lower()
        identity = headers.identity_of(request)
        revoked = identity is not None and self._records.revoke(guid, identity, self._clock())
        return Response(204 if revoked else 404, facts={"registration": self._tag(guid), "owner": identity})

    def _ciphers(self, request: Request) -> Response:
        return ciphers_answer(self._policy, "authz")

    def _cipher(self, request: Request) -> ContentCipher:
        try:
            return named_cipher(request, self._policy)
        except ValueError as error:
            raise HttpError(400, str(error)) from error

    def _owner(self, identity: str) -> Owner:
        grants = self._policy.cale.grants
        return Owner(identity, self._organization, grants.get(identity, grants.get("", ())))

    def _read(self, record: CsrRecord) -> Registration | None:
        if not fits_certificate(record.identity):
            return None
        try:
            csr = self._read_csr(record.csr)
            return Registration(self._owner(record.identity), _encryption_key(csr), self._capabilities(csr))
        except (HttpError, ValueError):
            # the policy has changed since, or the record is damaged: this key does not count any more
            return None

    def _who(self, guid: str) -> tuple[Registration, bool]:
        """Who is behind a GUID, and whether that counts; if not, somebody like those who are registered (CALE-36).

        Who was revoked keeps the key: another one in its place would tell everybody of the revocation (CALE-49). Anybody
        else is like a registration of long ago (`Models`). The work is the same for all, so that its time says nothing.
        """
        mark = mark_of(self._secret, guid)
        own, model = self._records.find(guid), self._models.of(mark)
        record = own or model
        like = self._read(record) if record else None
        owner = like.owner if like else self._owner("nobody")
        key = stand_in_key(kind_of(like.public_key) if like else DEFAULT_KIND, mark)
        stranger = Registration(owner, key, like.capabilities if like else None)
        if like is None or own is None:
            return stranger, False
        return like, not own.revoked

    def _read_csr(self, der: bytes) -> CertificationRequest:
        """A request, which may say what its key decrypts whatever else is certified."""
        known = self._policy.copied_extensions | {EXTENSION.dotted_string}
        return read_csr(der, replace(self._policy, copied_extensions=known))

    def _certificate(self, registration: Registration, lifetime: timedelta | None) -> x509.Certificate:
        """Valid for one request, or for no time at all (CALE-50: what /whoami shows cannot be used)."""
        now = self._clock().replace(microsecond=0)
        begin, end = (now, now) if lifetime is None else (now - self._policy.cale.backdate, now + lifetime)
        key, capabilities = registration.public_key, registration.capabilities
        return make_certificate(self._authority, registration.owner, key, begin, end, capabilities)

    def _sealed(
        self,
        plaintext: bytes,
        certificate: x509.Certificate,
        cipher: ContentCipher,
        *,
        misleading: bool,
        readable: bool = True,
    ) -> Response:
        cipher, hardened = fit(cipher, certificate), self._policy.cale_hardened
        if readable:
            message = seal(plaintext, certificate, cipher, hardened=hardened)
        else:
            message = unreadable(len(plaintext), certificate, cipher, hardened=hardened)
        fields = headers.encrypted_answer(self._policy.cale_headers, cipher.smime_type, misleading=misleading)
        return Response(200, fields, in_lines(message))

    def _about(self, guid: str, registration: Registration, *, known: bool) -> dict[str, object]:
        who: dict[str, object] = {"owner": registration.owner.name} if known else {"decoy": True}
        return {"registration": self._tag(guid)} | who

    def _tag(self, guid: str) -> str:
        return log_tag(self._log_secret, guid)

    def revoke(self, guid: str) -> bool:
        """Revoke a registration (CALE-51); False if there is none such, or it is revoked."""
        return self._records.revoke(guid.lower(), None, self._clock())


def named_cipher(request: Request, policy: Policy) -> ContentCipher:
    """The cipher an inner request names; ValueError unless there is one, and it is on the common list (CALE-29)."""
    suite = headers.only(request, headers.CIPHER)
    return content_cipher(suite, aead=policy.cale_aead, allowed=policy.cale.suites)


def ciphers_answer(policy: Policy, role: str) -> Response:
    """The list of cipher suites, for peers that compare it with theirs, and the role that has it."""
    fields = [("Content-Type", "application/json"), (headers.ROLE, role)]
    return Response(200, fields, json.dumps(list(policy.cale.suites)).encode() + b"\n")


def _capabilities(csr: CertificationRequest) -> x509.UnrecognizedExtension | None:
    """What the client says it decrypts; HttpError 400 if that cannot be read, or is nothing this server writes."""
    extension = extension_in(csr.extensions)
    if extension is not None:
        try:
            able = read_capabilities(extension.value)
        except ValueError as error:
            raise HttpError(400, str(error)) from error
        if not able.contents or not (able.rsa if isinstance(csr.public_key, rsa.RSAPublicKey) else able.ec):
            raise HttpError(400, "nothing that the client decrypts is written here")
    return extension


def _shape(registration: Registration) -> tuple[object, ...]:
    """What anybody can see of a client in its answers."""
    key, able = registration.public_key, registration.capabilities
    return type(key), kind_of(key) if isinstance(key, rsa.RSAPublicKey) else key.curve.name, able and able.value


def _encryption_key(csr: CertificationRequest) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    """The key answers are encrypted to; HttpError 400 for one that can only sign."""
    if isinstance(csr.public_key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        return csr.public_key
    raise HttpError(400, "nothing can be encrypted to this kind of key")
