"""The edge device: ends TLS, asks the authorization server, and never says no to a GUID (CALE-20 to CALE-32)."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from cryptography import x509

from device_sdk_simulators.cale import headers
from device_sdk_simulators.cale.certificates import NotAcceptedError, owner_of
from device_sdk_simulators.cale.ciphers import ContentCipher, content_cipher
from device_sdk_simulators.cale.decoy import WHO_AM_I, Decoys
from device_sdk_simulators.cale.hops import Hop, HopError
from device_sdk_simulators.cale.identity import Identify, proven_name
from device_sdk_simulators.cale.overdue import OverdueError, Workers
from device_sdk_simulators.cale.rate_limit import RateLimit
from device_sdk_simulators.cale.room import Room
from device_sdk_simulators.cale.scopes import OddPathError, plain_path
from device_sdk_simulators.http.messages import Headers, HttpError, Request, Response
from device_sdk_simulators.policy import Policy

_NO_GUID = "00000000-0000-0000-0000-000000000000"
"""Asked about instead of what is no GUID: unknown too, and it takes as long to find that out."""
_READING = ("GET", "HEAD")
_FOR_ANSWERS = 3 / 4
"""Of a slot; the rest is for making a decoy, also on a busy machine."""


@dataclass
class _Errand:
    """One request with a GUID, and what became known about it."""

    request: Request
    guid: str
    cipher: ContentCipher
    second_proof: str | None
    correlation: str
    started: float = field(default_factory=time.monotonic)
    certificate: x509.Certificate | None = None
    validated: float | None = None
    due: float = 0.0
    owned: bool = False
    passed_in: bool = False
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def is_whoami(self) -> bool:
        return self.request.path == WHO_AM_I

    @property
    def owner(self) -> str:
        """Whose registration it is about; nothing if that is not known."""
        try:
            return owner_of(self.certificate).name if self.certificate is not None else ""
        except NotAcceptedError:
            return ""

    @property
    def is_change(self) -> bool:
        """Whether it may have effects: who asks has proved an identity, and must not be left in doubt by a slot."""
        return self.second_proof is not None and not self.is_whoami


class EdgeDevice:
    """The public face of CALE.

    Inner requests are made anew, with those few fields of the client's own that the rules name (CALE-27).

    Args:
        authorization: hop to the authorization server.
        origination: hop to the origination server.
        identify: who a client is, by password, token or certificate.
        policy: forms of the answers.
        decoys: makes answers for those who may not have one.
        limits: counts requests.
        challenge: fields of a 401.
    """

    def __init__(
        self,
        authorization: Hop,
        origination: Hop,
        identify: Identify,
        policy: Policy,
        decoys: Decoys,
        limits: RateLimit | None = None,
        challenge: Callable[[], Headers] = list,
    ) -> None:
        self._authorization = authorization
        self._origination = origination
        self._identify = identify
        self._policy = policy
        self._decoys = decoys
        self._limits = limits or RateLimit()
        self._challenge = challenge
        self._room = Room(lambda: policy.cale.memory)
        self._workers = Workers(self._room)

    def close(self) -> None:
        """End the threads."""
        self._workers.close()

    def handle(self, request: Request) -> Response:
        """Answer one client; HttpError for what has nothing to do with a GUID."""
        try:
            # whoever is behind may take it apart in another way; refused to everybody, before anything is looked up
            plain_path(request.target)
        except OddPathError as error:
            raise HttpError(400, str(error)) from error
        if request.path == "/registration":
            return self._registration(request)
        errand = self._errand(request)
        with self._room.work():
            response = self._for_guid(errand)
        with self._room.kept(len(response.body)):
            self._decoys.wait(errand.started, errand.due, however_late=errand.is_change)
        operation = "whoami" if errand.is_whoami else "resource"
        known = {"operation": operation, "correlation": errand.correlation}
        response.facts = response.facts | known | {"registration": self._decoys.tag(errand.guid)} | errand.facts
        return response

    def _for_guid(self, errand: _Errand) -> Response:
        if self._admits(errand):
            return self._answer(errand)
        if self._policy.cale.rate_answer == "429":
            raise HttpError(429, "too many requests", [("Retry-After", "60")])
        return self._decoy(errand, "too many requests")

    def _admits(self, errand: _Errand) -> bool:
        """Whether this may go inside (CALE-32); counted before anybody knows what is behind the GUID, so alike for all.

        Decoys go by the GUID alone: by an address they would tell the owner behind it of a revocation that there is not,
        because of what others ask there, and spared for the owners they would tell who is one. /whoami has a budget of its
        own, so that it says what is true to an owner who asked for too much else.
        """
        operation, rules = "whoami" if errand.is_whoami else "resource", self._policy.cale
        who = [f"{operation} with {errand.guid.lower()}"]
        if rules.rate_answer == "429":
            who.append(f"{operation} from {errand.request.source}")
        return self._limits.admits(*who, a_minute=rules.rate)

    def _errand(self, request: Request) -> _Errand:
        headers.check_size(request)
        second_proof = self._second_proof(request)
        values = request.header_values(headers.GUID)
        if not values:
            raise HttpError(400, "the CALE-GUID header is missing")
        guid = values[0] if len(values) == 1 and headers.is_guid(values[0]) else _NO_GUID
        return _Errand(request, guid, self._cipher(request), second_proof, secrets.token_hex(8))

    def _second_proof(self, request: Request) -> str | None:
        """Who wants to change something, proven in another way than by a GUID (CALE-06)."""
        allowed = (*_READING, *self._policy.cale.methods)
        if request.method not in allowed:
            raise HttpError(405, "a GUID alone reads and does nothing else", [("Allow", ", ".join(allowed))])
        return None if request.method in _READING else self._proven(request)[0]

    def _proven(self, request: Request) -> tuple[str, dict[str, object]]:
        client = self._identify(request)
        name = proven_name(client)
        if name is None:
            raise HttpError(401, "", self._challenge())
        return name, {"authentication": client.authentication, "user": name}

    def _registration(self, request: Request) -> Response:
        if request.method not in ("POST", "DELETE"):
            raise HttpError(405, "wrong method", [("Allow", "POST, DELETE")])
        if not self._limits.admits(f"registers {request.source}", a_minute=self._policy.cale.rate):
            # nobody guesses passwords here, and there is nothing to hide
            raise HttpError(429, "too many requests", [("Retry-After", "60")])
        identity, facts = self._proven(request)
        correlation = secrets.token_hex(8)
        facts["correlation"] = correlation
        inner = [headers.identity_header(identity), (headers.CORRELATION, correlation)]
        if request.method == "DELETE":
            values = request.header_values(headers.GUID)
            guid = values[0] if len(values) == 1 and headers.is_guid(values[0]) else _NO_GUID
            inner.append((headers.GUID, guid))
            facts["registration"] = self._decoys.tag(guid)
            response = self._from_authorization(Request("POST", "/revocation", inner))
            status = response.status if response.status in (204, 404) else 502
            return Response(status, facts=response.facts | facts | {"operation": "revocation"})
        media_type = (request.header("Content-Type") or "application/pkcs10").split(";")[0].strip().lower()
        if media_type != "application/pkcs10":
            raise HttpError(415, "the body must be application/pkcs10")
        self._cipher(request)
        inner += [("Content-Type", "application/pkcs10"), (headers.CIPHER, request.tls.cipher)]
        response = self._from_authorization(Request("POST", "/registration", inner, request.body))
        response.facts = response.facts | facts | {"operation": "registration"}
        return response

    def _from_authorization(self, request: Request) -> Response:
        try:
            return self._authorization(request)
        except HopError as error:
            response = Response.text(502, "no answer from the authorization server")
            response.facts["reason"] = str(error)
            return response

    def _answer(self, errand: _Errand) -> Response:
        """From here on there is a GUID, and nothing that happens may say what is behind it (CALE-24)."""
        try:
            return self._learnt(errand)
        except (HopError, OverdueError) as error:
            return self._failure(errand, str(error))
        except Exception as error:  # noqa: BLE001 - an internal error would be one more answer that strangers never get
            return self._failure(errand, f"{type(error).__name__}: {error}")

    def _learnt(self, errand: _Errand) -> Response:
        """What there is in time, and only that is learnt: what comes later, often an error for the wait, goes to nobody."""
        try:
            response = self._in_time(errand)
            if errand.passed_in or errand.is_whoami:
                self._learn(errand, response)
            return response
        finally:
            if errand.passed_in and errand.validated is not None:
                # a failure takes its time, too, and strangers have to share it; so does what is learnt of an answer
                now = time.monotonic()
                self._decoys.took(errand.request.path, errand.validated - errand.started, now - errand.validated)

    def _in_time(self, errand: _Errand) -> Response:
        work = partial(self._who_am_i if errand.is_whoami else self._resource, errand)
        rules = self._policy.cale
        if not rules.one_slot or errand.is_change:
            return work()
        end = errand.started + rules.slot_s
        return self._workers.result(work, end - rules.slot_s * (1 - _FOR_ANSWERS), end)

    def _who_am_i(self, errand: _Errand) -> Response:
        if self._policy.cale.rate:
            # a later decoy for one request too many has to look like this answer, whether or not there were others
            errand.certificate = self._validate(errand)[1]
            if errand.certificate is not None:
                self._decoys.remember(errand.guid, errand.certificate)
        # the authorization server makes the decoy here (CALE-35)
        inner = [*self._about(errand), (headers.CIPHER, errand.request.tls.cipher)]
        response = self._authorization(Request("GET", "/whoami", inner))
        if response.status != 200:
            raise HopError(f"whoami was answered with {response.status}")
        return response

    def _resource(self, errand: _Errand) -> Response:
        valid, certificate = self._validate(errand)
        errand.certificate, errand.validated = certificate, time.monotonic()
        if certificate is not None:
            self._decoys.remember(errand.guid, certificate)
        if not valid or certificate is None:
            return self._decoy(errand, "not registered")
        if not self._may_change(errand, certificate):
            return self._decoy(errand, "the second proof is of somebody else")
        errand.owned, errand.passed_in = errand.is_change, True
        response = self._origination(self._inner(errand, certificate))
        if response.status != 200:
            raise HopError(f"the origination server answered with {response.status}")
        return response

    def _validate(self, errand: _Errand) -> tuple[bool, x509.Certificate | None]:
        """Whether the GUID counts, and the certificate to encrypt to: the client's, or one of nobody's key."""
        response = self._authorization(Request("GET", "/validate", self._about(errand)))
        if response.status not in (200, 403):
            raise HopError(f"validation was answered with {response.status}")
        try:
            return response.status == 200, x509.load_pem_x509_certificate(response.body)
        except ValueError:
            if response.status == 200:
                raise HopError("validation was answered with something that is no certificate") from None
            return False, None

    def _may_change(self, errand: _Errand, certificate: x509.Certificate) -> bool:
        if errand.second_proof is None:
            return True
        try:
            return owner_of(certificate).name == errand.second_proof
        except NotAcceptedError:
            return False

    def _about(self, errand: _Errand) -> Headers:
        return [(headers.GUID, errand.guid), (headers.CORRELATION, errand.correlation)]

    def _inner(self, errand: _Errand, certificate: x509.Certificate) -> Request:
        """The client's request as it goes inside: with certificate and suite, without the GUID (CALE-23)."""
        request = errand.request
        fields = [headers.certificate_header(certificate, self._policy.cale.certificate_header)]
        fields += [(headers.CIPHER, request.tls.cipher), (headers.CORRELATION, errand.correlation)]
        passed_on = (*self._policy.cale.forward, *(("Content-Type",) if errand.second_proof else ()))
        fields += headers.only_fields(request, passed_on)
        if self._policy.cale.decoys != "draft":
            # an error inside is for clients only, and as long as what strangers get
            fields.append(headers.lengths(self._decoys.lengths(request, errand.guid)))
        if errand.second_proof is None:
            return Request("GET", request.target, fields)
        return Request(request.method, request.target, fields, request.body)

    def _learn(self, errand: _Errand, response: Response) -> None:
        """An answer made inside, as it goes out (CALE-25), and what decoys are like afterwards."""
        try:
            message, lengths = base64.b64decode(response.body), headers.lengths_of(response)
            self._decoys.learn(errand.request, message, lengths, errand.owner)
        except (binascii.Error, ValueError):
            # it is passed on as it is (CALE-25), but nothing is like it
            errand.facts["reason"] = "the answer is no envelope"
        response.headers = headers.without_others(response.headers)

    def _failure(self, errand: _Errand, reason: str) -> Response:
        if errand.owned:
            # the owner asked and nobody else; a decoy would be taken for a change that was not made
            errand.facts["reason"] = reason
            return Response.text(502, "no answer from the server behind this one: the change may have been made")
        if self._policy.cale.on_failure == "502":
            errand.facts["reason"] = reason
            return Response.text(502, "a server behind this one failed")
        return self._decoy(errand, reason)

    def _decoy(self, errand: _Errand, reason: str) -> Response:
        body, cipher = self._decoys.make(errand.request, errand.guid, errand.certificate, errand.cipher)
        fields = headers.encrypted_answer(self._policy.cale_headers, cipher.smime_type, misleading=not errand.is_whoami)
        errand.due = self._decoys.due(errand.request.path, errand.started, errand.validated)
        return Response(200, fields, body, facts={"decoy": True, "reason": reason})

    def _cipher(self, request: Request) -> ContentCipher:
        """CALE-28: the suite of the connection, if it is on the list; HttpError 400."""
        suite = request.tls.cipher
        try:
            return content_cipher(suite, aead=self._policy.cale_aead, allowed=self._policy.cale.suites)
        except ValueError as error:
            raise HttpError(400, str(error)) from error
