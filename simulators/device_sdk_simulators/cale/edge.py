"""The edge device: ends TLS, asks the authorization server, and never says no to a GUID (CALE-20 to CALE-32)."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk_simulators.cale import headers
from device_sdk_simulators.cale.ciphers import ContentCipher, content_cipher
from device_sdk_simulators.cale.decoy import DEFAULT_KIND, Decoys, KeyKind, kind_of
from device_sdk_simulators.cale.hops import Hop
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.bodies import wrap
from device_sdk_simulators.http.messages import HttpError, Request, Response
from device_sdk_simulators.policy import Policy

_NO_GUID = "00000000-0000-0000-0000-000000000000"
"""Asked about instead of what is no GUID: unknown too, and it takes as long to find that out."""


class EdgeDevice:
    """The public face of CALE.

    Nothing of a client's own headers goes inside (CALE-27): inner requests are made anew.

    Args:
        authorization: hop to the authorization server.
        origination: hop to the origination server.
        identify: who a client is, by password or certificate.
        policy: forms of the answers.
        decoys: makes answers for those who may not have one.
    """

    def __init__(
        self,
        authorization: Hop,
        origination: Hop,
        identify: Callable[[Request], Client],
        policy: Policy,
        decoys: Decoys,
    ) -> None:
        self._authorization = authorization
        self._origination = origination
        self._identify = identify
        self._policy = policy
        self._decoys = decoys

    def handle(self, request: Request) -> Response:
        """Answer one client; HttpError for what has nothing to do with a GUID."""
        if request.path == "/registration":
            return self._registration(request)
        if request.method not in ("GET", "HEAD"):
            raise HttpError(405, "a GUID alone reads and does nothing else", [("Allow", "GET, HEAD")])
        if not request.header_values(headers.GUID):
            raise HttpError(400, "the CALE-GUID header is missing")
        operation = "whoami" if request.path == "/whoami" else "resource"
        response = self._who_am_i(request) if operation == "whoami" else self._resource(request)
        response.facts = {"operation": operation, "guid": self._guid(request)} | response.facts
        return response

    def _registration(self, request: Request) -> Response:
        if request.method not in ("POST", "DELETE"):
            raise HttpError(405, "wrong method", [("Allow", "POST, DELETE")])
        client = self._identify(request)
        if client.third_party or (client.user is None and client.certificate is None):
            raise HttpError(401, "")
        facts: dict[str, object] = {"authentication": client.authentication, "user": client.user}
        inner = [(headers.IDENTITY, _identity(client))]
        if request.method == "DELETE":
            inner.append((headers.GUID, self._guid(request) or ""))
            response = self._authorization(Request("POST", "/revocation", inner))
            return Response(response.status, facts=facts | {"operation": "revocation"})
        media_type = (request.header("Content-Type") or "application/pkcs10").split(";")[0].strip().lower()
        if media_type != "application/pkcs10":
            raise HttpError(415, "the body must be application/pkcs10")
        inner += [("Content-Type", "application/pkcs10"), (headers.CIPHER, request.tls.cipher)]
        response = self._authorization(Request("POST", "/registration", inner, request.body))
        response.facts = {"operation": "registration"} | facts | response.facts
        return response

    def _guid(self, request: Request) -> str | None:
        """The one well-formed GUID of a request, or None."""
        values = request.header_values(headers.GUID)
        return values[0] if len(values) == 1 and headers.is_guid(values[0]) else None

    def _who_am_i(self, request: Request) -> Response:
        # the authorization server makes the decoy here (CALE-35)
        inner = [(headers.GUID, self._guid(request) or _NO_GUID), (headers.CIPHER, request.tls.cipher)]
        return self._authorization(Request("GET", "/whoami", inner))

    def _resource(self, request: Request) -> Response:
        started = time.monotonic()
        valid, certificate = self._validate(request)
        if certificate is None:
            return self._decoy(request, DEFAULT_KIND, started)
        if not valid:
            return self._decoy(request, certificate, started)
        inner = [headers.certificate_header(certificate), (headers.CIPHER, request.tls.cipher)]
        response = self._origination(Request("GET", request.target, inner))
        if response.status != 200:
            return self._decoy(request, _kind(certificate), started)
        message = base64.b64decode(response.body)
        self._decoys.learn(request.path, message, self._cipher(request), time.monotonic() - started)
        return response

    def _validate(self, request: Request) -> tuple[bool, x509.Certificate | None]:
        """Whether the GUID counts, and the certificate to encrypt to: the client's, or one of nobody's key."""
        inner = [(headers.GUID, self._guid(request) or _NO_GUID)]
        response = self._authorization(Request("GET", "/validate", inner))
        try:
            return response.status == 200, x509.load_pem_x509_certificate(response.body)
        except ValueError:
            return False, None

    def _decoy(self, request: Request, like: x509.Certificate | KeyKind, started: float) -> Response:
        cipher = self._cipher(request)
        message = self._decoys.make(request.path, self._guid(request) or _NO_GUID, like, cipher)
        self._decoys.wait(started)
        fields = headers.encrypted_answer(self._policy.cale_headers, cipher.smime_type, misleading=True)
        return Response(200, fields, wrap(base64.b64encode(message), 64, b"\n"), facts={"decoy": True})

    def _cipher(self, request: Request) -> ContentCipher:
        return content_cipher(request.tls.cipher, aead=self._policy.cale_aead)


def _kind(certificate: x509.Certificate) -> KeyKind:
    public_key = certificate.public_key()
    return (
        kind_of(public_key) if isinstance(public_key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)) else DEFAULT_KIND
    )


def _identity(client: Client) -> str:
    if client.user is not None:
        return client.user
    if client.certificate is None:
        raise HttpError(401, "")
    names = client.certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else client.certificate.subject.rfc4514_string()
