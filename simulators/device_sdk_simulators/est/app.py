"""The EST operations: a request in, an answer out (RFC 7030 section 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from device_sdk_simulators.ca.hierarchy import Hierarchy
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import CHALLENGE, Client, Gatekeeper
from device_sdk_simulators.est.binding import check_binding
from device_sdk_simulators.est.bodies import decode_body, encode_body
from device_sdk_simulators.est.cms import certs_only
from device_sdk_simulators.est.csr import CertificationRequest, read_csr
from device_sdk_simulators.est.csrattrs import csr_attributes
from device_sdk_simulators.est.queue import ApprovalQueue
from device_sdk_simulators.est.register import Register
from device_sdk_simulators.est.spoil import Spoiler
from device_sdk_simulators.faults import Faults
from device_sdk_simulators.http.messages import HttpError, Request, Response
from device_sdk_simulators.passwords import Users
from device_sdk_simulators.policy import LabelError, Policy, check_label

PREFIX = "/.well-known/est/"
_METHODS = {"cacerts": "GET", "csrattrs": "GET", "simpleenroll": "POST", "simplereenroll": "POST"}
_CSR_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")


@dataclass(frozen=True)
class _Route:
    operation: str
    label: str


class EstApp:
    """One EST server.

    Args:
        hierarchy: the CA.
        database: memory.
        users: passwords.
        policy: what is asked for and allowed.
        clock: time of everything that is issued or checked.
        faults: ways to misbehave.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        database: Database,
        users: Users,
        policy: Policy,
        clock: Callable[[], datetime],
        faults: Faults,
    ) -> None:
        self._spoiler = Spoiler(faults, hierarchy, clock)
        self._policy = policy
        self._clock = clock
        self.gatekeeper = Gatekeeper(database, users, hierarchy.issuing, policy, clock)
        self.queue = ApprovalQueue(database)
        self.register = Register(database, hierarchy.issuing, policy, clock)

    def handle(self, request: Request) -> Response:
        """Answer one request; HttpError for every refusal."""
        route = self._route(request)
        if request.method != _METHODS[route.operation]:
            raise HttpError(405, "wrong method", [("Allow", _METHODS[route.operation])])
        spoilt = self._spoiler.instead(route.operation)
        response = spoilt or {
            "cacerts": self._cacerts,
            "csrattrs": self._csrattrs,
            "simpleenroll": self._enroll,
            "simplereenroll": self._enroll,
        }[route.operation](request, route)
        if response.status == 200:
            response = self._spoiler.encoding(route.operation, response)
        # EST-18: neither certificates nor what became of a request may come from a cache
        response.headers = [*response.headers, ("Cache-Control", "no-store")]
        response.facts = {"operation": route.operation, "label": route.label or None} | response.facts
        return response

    def _route(self, request: Request) -> _Route:
        segments = request.path.removeprefix(PREFIX).split("/")
        operation = segments[-1].lower()
        label = segments[0] if len(segments) == 2 else ""
        if not request.path.startswith(PREFIX) or operation not in _METHODS or len(segments) > 2:
            raise HttpError(404, "no such operation")
        if len(segments) == 2 and not self._serves(label):
            raise HttpError(404, "no such label")
        return _Route(operation, label)

    def _serves(self, label: str) -> bool:
        try:
            check_label(label)
        except LabelError:
            return False
        return label in self._policy.labels

    def _cacerts(self, request: Request, _route: _Route) -> Response:
        body = encode_body(certs_only(self._spoiler.bag("cacerts")), user_agent=request.header("User-Agent"))
        return _base64(200, "application/pkcs7-mime", body)

    def _csrattrs(self, request: Request, _route: _Route) -> Response:
        der = csr_attributes(self._policy)
        if der is None:
            return Response(204)
        return _base64(200, "application/csrattrs", encode_body(der, user_agent=request.header("User-Agent")))

    def _enroll(self, request: Request, route: _Route) -> Response:
        client = self.gatekeeper.identify(request)
        facts: dict[str, object] = {"authentication": client.authentication, "user": client.user}
        facts["registration_authority"] = client.registration_authority or None
        try:
            return self._decide(request, route, client, facts)
        except HttpError as error:
            return refusal(error, facts)

    def _decide(self, request: Request, route: _Route, client: Client, facts: dict[str, object]) -> Response:
        if client.user is None and client.certificate is None:
            raise HttpError(401, "", CHALLENGE)
        csr = self._read(request)
        facts |= {"subject": csr.csr.subject.rfc4514_string(), "mac_address": csr.mac_address}
        facts["binding"] = check_binding(
            csr.bindings, request.tls, self._policy, registration_authority=client.registration_authority
        )
        if route.operation == "simpleenroll":
            self.gatekeeper.may_enroll(client, csr)
        else:
            self.gatekeeper.may_reenroll(client, csr)
        if self._policy.require_approval:
            waiting = self._wait(client, route, csr)
            if waiting is not None:
                waiting.facts |= facts
                return waiting
        certificate = self.register.issue(csr, client.identity)
        facts["issued_serial"] = f"{certificate.serial_number:x}"
        return self._issued(request, self._spoiler.issued(route.operation, certificate), facts)

    def _read(self, request: Request) -> CertificationRequest:
        media_type = request.header("Content-Type")
        if media_type is not None and media_type.split(";")[0].strip().lower() != "application/pkcs10":
            raise HttpError(415, "the body must be application/pkcs10")
        return read_csr(decode_body(request.body, _CSR_LABELS), self._policy)

    def _wait(self, client: Client, route: _Route, csr: CertificationRequest) -> Response | None:
        state = self.queue.state((client.identity, route.label, route.operation), csr, self._clock())
        if state == "denied":
            raise HttpError(403, "the request was denied")
        if state == "approved":
            return None
        return Response.text(202, "the request waits for approval", [("Retry-After", str(self._policy.retry_after_s))])

    def _issued(self, request: Request, certificates: list[x509.Certificate], facts: dict[str, object]) -> Response:
        body = encode_body(certs_only(certificates), user_agent=request.header("User-Agent"))
        response = _base64(200, "application/pkcs7-mime; smime-type=certs-only", body)
        response.facts = facts
        return response


def refusal(error: HttpError, facts: dict[str, object]) -> Response:
    """The answer to a request that is refused; 401 has no body, because Bouncy Castle cannot bear one."""
    if error.status == 401:
        return Response(401, error.headers, facts=facts | {"reason": "credentials needed"})
    response = Response.text(error.status, error.text, error.headers)
    response.facts |= facts
    return response


def _base64(status: int, media_type: str, body: bytes) -> Response:
    # RFC 8951 deprecates Content-Transfer-Encoding; Bouncy Castle 1.72 and est-client-python need it
    return Response(status, [("Content-Type", media_type), ("Content-Transfer-Encoding", "base64")], body)
