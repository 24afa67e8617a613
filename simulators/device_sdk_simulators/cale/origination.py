"""The origination server: answers for the owner named in CALE-PEM, encrypted to the owner's key (CALE-55 to CALE-58)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime

from cryptography import x509

from device_sdk_simulators.cale import headers
from device_sdk_simulators.cale.certificates import NotAcceptedError, Owner, accept_certificate
from device_sdk_simulators.cale.ciphers import content_cipher
from device_sdk_simulators.cale.envelope import seal
from device_sdk_simulators.cale.hops import Hop
from device_sdk_simulators.est.bodies import wrap
from device_sdk_simulators.http.messages import Request, Response
from device_sdk_simulators.policy import Policy


class OriginationServer:
    """One origination server.

    Args:
        issuer: certificate of the authorization server's CA.
        resource: hop to the resource server, which knows what it must not encrypt.
        policy: forms of the answers.
        clock: judges certificates.
        peers: names of the edge devices that may call.
    """

    def __init__(
        self,
        issuer: x509.Certificate,
        resource: Hop,
        policy: Policy,
        clock: Callable[[], datetime],
        peers: tuple[str, ...] = ("edge",),
    ) -> None:
        self._issuer = issuer
        self._resource = resource
        self._policy = policy
        self._clock = clock
        self._peers = peers

    def handle(self, request: Request, peer: str) -> Response:
        """Answer an edge device: 200 and encrypted whatever the answer is, or a refusal nobody outside sees."""
        if peer not in self._peers:
            return Response(403)
        try:
            certificate = headers.certificate_from_header(request.header(headers.CERTIFICATE) or "")
            owner = accept_certificate(certificate, self._issuer, self._clock())
            cipher = content_cipher(request.header(headers.CIPHER) or "", aead=self._policy.cale_aead)
        except (ValueError, NotAcceptedError) as error:
            return Response.text(403, str(error))
        plaintext = self._answer(request, owner, certificate)
        message = seal(plaintext, certificate, cipher, hardened=self._policy.cale_hardened)
        fields = headers.encrypted_answer(self._policy.cale_headers, cipher.smime_type, misleading=True)
        return Response(200, fields, wrap(base64.b64encode(message), 64, b"\n"))

    def _answer(self, request: Request, owner: Owner, certificate: x509.Certificate) -> bytes:
        if request.path == "/identity":
            facts = {"owner": owner.name, "organization": owner.organization, "scopes": owner.scopes}
            return json.dumps(facts).encode() + b"\n"
        path = "/aggregate" if request.path == "/resource" else request.path
        # no Cipher: what the resource server says is for us, in clear on a connection of our own (CALE-58)
        response = self._resource(Request("GET", path, [headers.certificate_header(certificate)]))
        if response.status == 200:
            return response.body
        # encrypted like everything else, so that the outside learns nothing from a path that does not exist
        return json.dumps({"error": response.status}).encode() + b"\n"
