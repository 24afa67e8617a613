"""The origination server: answers for the owner named in CALE-PEM, encrypted to the owner's key (CALE-55 to CALE-58)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime

from cryptography import x509

from device_sdk_simulators.cale import headers
from device_sdk_simulators.cale.authorization import CIPHERS_PATH, ciphers_answer, named_cipher
from device_sdk_simulators.cale.binary_http import BINARY_HTTP
from device_sdk_simulators.cale.capabilities import fit, takes_responses
from device_sdk_simulators.cale.certificates import NotAcceptedError, Owner, accept_certificate
from device_sdk_simulators.cale.envelope import DATA, seal
from device_sdk_simulators.cale.exchanges import end_of_work
from device_sdk_simulators.cale.hops import Hop, HopError, HopTimeoutError
from device_sdk_simulators.cale.padding import JSON
from device_sdk_simulators.cale.plaintexts import as_long_as, encrypted_content, encrypted_error
from device_sdk_simulators.cale.replay import ReplayWindow
from device_sdk_simulators.cale.room import Room, take
from device_sdk_simulators.cale.scopes import OddPathError, needed_scopes, plain_path
from device_sdk_simulators.est.bodies import in_lines
from device_sdk_simulators.http.messages import Headers, Request, Response
from device_sdk_simulators.policy import Policy

SAMPLE_PATHS = {"/resource": "/aggregate"}
"""Sections B.2.4 and B.2.5 of the draft: one path outside, another one inside."""
_ERROR = 400
_GONE = (404, 410)
"""That is so for everybody: what strangers get becomes short, too, in a while."""
_COPIES = 5
"""Of an error at most, while it is filled up, encrypted and written in base64."""


class OriginationServer:
    """One origination server.

    Args:
        issuer: certificate of the authorization server's CA.
        resource: hop to the resource server, which knows what it must not encrypt.
        policy: forms of the answers.
        clock: judges certificates.
        peers: names of the edge devices that may call.
        replay: what was shown already.
        paths: names of paths at the resource server, where they are others; None for those of the samples, with
            /identity, which says whose request this is.
    """

    def __init__(
        self,
        issuer: x509.Certificate,
        resource: Hop,
        policy: Policy,
        clock: Callable[[], datetime],
        peers: tuple[str, ...] = ("edge",),
        replay: ReplayWindow | None = None,
        paths: Mapping[str, str] | None = None,
    ) -> None:
        self._issuer = issuer
        self._resource = resource
        self._policy = policy
        self._clock = clock
        self._peers = peers
        self._replay = replay or ReplayWindow()
        self._paths = SAMPLE_PATHS if paths is None else paths
        self._says_who = paths is None
        self._room = Room(lambda: policy.cale.memory)

    def handle(self, request: Request, peer: str) -> Response:
        """Answer an edge device: 200 and encrypted whatever the answer is, or a refusal nobody outside sees."""
        if peer not in self._peers:
            return Response(403, facts={"reason": "not a listed peer"})
        if request.path == CIPHERS_PATH and not request.header_values(headers.CIPHER):
            return ciphers_answer(self._policy, "origin")
        facts: dict[str, object] = {"correlation": request.header(headers.CORRELATION)}
        if any(len(value) > headers.LONGEST_CERTIFICATE for _name, value in request.headers):
            return Response(431, facts=facts | {"reason": "a header field is too long"})
        try:
            certificate = headers.certificate_of(request)
            facts["certificate"] = f"{certificate.serial_number:x}"
            owner = self._accept(certificate)
            cipher = fit(named_cipher(request, self._policy), certificate)
            whole = takes_responses(certificate)
            self._use_up(certificate, request)
        except (ValueError, NotAcceptedError) as error:
            status = 403 if isinstance(error, NotAcceptedError) or "certificate" not in facts else 400
            response = Response.text(status, str(error))
            response.facts |= facts
            return response
        with self._room.work():
            # the other form is for its length only, which a decoy of that form has to have (CALE-37)
            response, said = self._readable(request, owner, certificate)
            lengths = [len(self._plaintext(request, response, whole=one)) for one in (False, True)]
            plaintext = self._plaintext(request, response, whole=whole)
            if response.status >= _ERROR:
                filled = [max(*one) for one in zip(lengths, self._named(request), strict=True)]
                plaintext = as_long_as(filled[whole], plaintext, whole=whole)
                lengths = lengths if response.status in _GONE else filled
            content_type = BINARY_HTTP if whole else DATA
            hardened = self._policy.cale_hardened
            message = seal(plaintext, certificate, cipher, hardened=hardened, content_type=content_type)
            fields = headers.encrypted_answer(self._policy.cale_headers, cipher.smime_type, misleading=True)
            fields.append(headers.lengths((lengths[0], lengths[1])))
            return Response(200, fields, in_lines(message), facts=facts | said)

    def _accept(self, certificate: x509.Certificate) -> Owner:
        rules = self._policy.cale
        return accept_certificate(
            certificate, self._issuer, self._clock(), skew=rules.clock_skew, max_lifetime=rules.max_lifetime
        )

    def _use_up(self, certificate: x509.Certificate, request: Request) -> None:
        """NotAcceptedError for the second request with a certificate that is for one."""
        rules = self._policy.cale
        purpose = f"{request.method} {request.target}" if rules.replay == "per-request" else ""
        until = certificate.not_valid_after_utc + rules.clock_skew
        if rules.replay != "off" and not self._replay.is_first(certificate, purpose, self._clock(), until):
            raise NotAcceptedError("this certificate was used already")

    def _plaintext(self, request: Request, response: Response, *, whole: bool) -> bytes:
        """What is encrypted of a service's answer, filled up."""
        bucket = self._policy.cale.padding
        if 200 <= response.status < 300:
            return encrypted_content(response, bucket, whole=whole)
        if 300 <= response.status < 400:
            if request.method not in ("GET", "HEAD"):
                # the change was made, or has to be asked for elsewhere: whoever asked has to know which, and where
                return encrypted_content(_redirect(response), bucket, whole=whole)
            location = _location(response)
            if whole and location:
                return encrypted_error(response.status, bucket, whole=True, location=location)
        # encrypted like everything else, so that the outside learns nothing from a path that does not exist; what is
        # neither an answer nor an error (a redirect) cannot be passed on as bare content
        status = response.status if 400 <= response.status < 600 else 502
        return encrypted_error(status, bucket, whole=whole)

    def _named(self, request: Request) -> tuple[int, int]:
        """How long a decoy to this request is, and so an error, as bare content and as a whole response.

        An error is for clients, and for some of them: were it shorter, everybody could see who gets it, and it would be
        learnt from it that others get it, too.
        """
        named = headers.lengths_of(request) or (0, 0)
        longest = max(named)
        if longest * _COPIES > self._policy.cale.memory:
            return 0, 0
        take(longest, _COPIES, end_of_work())
        return named

    def _readable(
        self, request: Request, owner: Owner, certificate: x509.Certificate
    ) -> tuple[Response, dict[str, object]]:
        """What a service says, and what the log says about it."""
        response = self._said(request, owner, certificate)
        return response, {"owner": owner.name, "answer": response.status, "reason": response.facts.get("reason")}

    def _said(self, request: Request, owner: Owner, certificate: x509.Certificate) -> Response:
        try:
            path = plain_path(request.target)
        except OddPathError as error:
            return Response(404, facts={"reason": str(error)})
        missing = needed_scopes(path, self._policy.cale.scopes, self._paths) - set(owner.scopes)
        if missing:
            return Response(403, facts={"reason": f"the scope {min(missing)!r} is missing"})
        if path == "/identity" and self._says_who:
            said = {"owner": owner.name, "organization": owner.organization, "scopes": owner.scopes}
            return Response(200, [("Content-Type", JSON)], json.dumps(said).encode() + b"\n")
        try:
            return self._resource(self._inner(request, path, certificate))
        except HopError as error:
            return Response(504 if isinstance(error, HopTimeoutError) else 502, facts={"reason": str(error)})

    def _inner(self, request: Request, path: str, certificate: x509.Certificate) -> Request:
        # no Cipher: what the resource server says is for us, in clear on a connection of our own (CALE-58)
        fields: Headers = [headers.certificate_header(certificate, self._policy.cale.certificate_header)]
        fields += [(headers.CORRELATION, value) for value in request.header_values(headers.CORRELATION)]
        fields += headers.forwarded(request, ("Content-Type",) if request.body else ())
        target = self._paths.get(path, request.target)
        return Request(request.method, target, fields, request.body)


def _redirect(response: Response) -> Response:
    """What a server said to a change instead of an answer, as a document; nobody follows it."""
    said: dict[str, object] = {"status": response.status}
    location = response.header("Location")
    if location and len(location) <= headers.LONGEST_TARGET:
        said["location"] = location
    return Response(200, [("Content-Type", JSON)], json.dumps(said).encode() + b"\n")


def _location(response: Response) -> str:
    """Where a redirect leads, if that is a URI reference; empty if not."""
    location = response.header("Location") or ""
    return location if re.fullmatch(r"[!-~]{1,2048}", location) else ""
