"""/simpleenroll and /simplereenroll (RFC 7030 section 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from device_sdk_simulators.est.answers import issued, refusal
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.bodies import decode_body
from device_sdk_simulators.est.change_name import ChangedName, changed_name
from device_sdk_simulators.est.csr import CertificationRequest, read_csr
from device_sdk_simulators.est.queue import Again, ApprovalQueue, NotApprovedError
from device_sdk_simulators.est.requirements import Requirements
from device_sdk_simulators.est.results import FOR_KEY_ESTABLISHMENT, KEY_ESTABLISHMENT, SIGNATURE, Results
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.http.messages import HttpError, Request, Response
from device_sdk_simulators.policy import Policy

_CSR_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")


@dataclass(frozen=True)
class Granted:
    """A request that is to be fulfilled.

    Attributes:
        client: who asked.
        csr: what was asked for.
        name: the name to give instead of the request's, or None.
        facts: for the log.
    """

    client: Client
    csr: CertificationRequest
    name: ChangedName | None
    facts: dict[str, object]


class Enrolment:
    """Who asks, what for, may that one have it, and then: yes, no or later.

    Args:
        queue: where requests wait for a person.
        requirements: what requests are held to.
        policy: what is asked for and allowed.
        clock: time of what waits.
        results: where clients that lost an answer find it; None keeps nothing.
    """

    def __init__(
        self,
        queue: ApprovalQueue,
        requirements: Requirements,
        policy: Policy,
        clock: Callable[[], datetime],
        results: Results | None = None,
    ) -> None:
        self._queue = queue
        self._requirements = requirements
        self._policy = policy
        self._clock = clock
        self._results = results

    def answer(self, request: Request, route: Route) -> Response:
        """200 with a certificate, 202, or a refusal; GET asks for the answer to what was sent before (N-03)."""
        client = route.site.gatekeeper.identify(request)
        facts: dict[str, object] = {"authentication": client.authentication, "user": client.user}
        facts["registration_authority"] = client.registration_authority or None
        try:
            if request.method == "GET":
                return self._result(request, route, client, facts)
            return self._decide(request, route, client, facts)
        except HttpError as error:
            return refusal(error, facts)

    def _decide(self, request: Request, route: Route, client: Client, facts: dict[str, object]) -> Response:
        if not client.knows_password and client.certificate is None:
            raise HttpError(401, "")
        csr = self._read(request)
        facts |= {"subject": csr.csr.subject.rfc4514_string(), "mac_address": csr.mac_address}
        self._authorize(route, client, csr)
        known = self._policy.pending_by_bytes and self._queue.knows_bytes(_who(client, route), csr)
        facts["binding"], name = self._requirements.check(route, client, csr, request.tls, known=known)
        if self._policy.require_approval:
            waiting = self._wait(request, client, route, csr)
            if waiting is not None:
                waiting.facts |= facts
                return waiting
        try:
            return self._deliver(request, route, Granted(client, csr, name, facts))
        except NotApprovedError:
            # another connection of the same client was faster
            waiting = self._wait(request, client, route, csr)
            if waiting is None:
                raise HttpError(409, "the approval was used up at the same moment; ask again") from None
            waiting.facts |= facts
            return waiting

    def _authorize(self, route: Route, client: Client, csr: CertificationRequest) -> None:
        """HttpError unless this client may have this certificate."""
        if route.operation == "simplereenroll":
            route.site.gatekeeper.may_reenroll(client, csr)
        else:
            route.site.gatekeeper.may_enroll(client, csr)

    def _deliver(self, request: Request, route: Route, granted: Granted) -> Response:
        """Issue, and answer 200."""
        certificate = self._issue(route, granted, granted.csr)
        if self._results is not None:
            self._results.note(granted.client.identity, route, certificate, self._clock())
        return issued(request, route.site.spoiler.issued(route.operation, certificate), granted.facts)

    def _result(self, request: Request, route: Route, client: Client, facts: dict[str, object]) -> Response:
        """What became of what this client sent: as the POST would have said it, 404 if there is nothing (AMB-24)."""
        if not client.knows_password and client.certificate is None:
            raise HttpError(401, "")
        now, results = self._clock(), self._results
        usage = KEY_ESTABLISHMENT if request.target.partition("?")[2] == FOR_KEY_ESTABLISHMENT else SIGNATURE
        found = None if results is None else results.of(client, route.label, route.operation, now, usage)
        if found is None or results is None:
            raise HttpError(404, "nothing was asked for, or its result was fetched long ago")
        if found.state == "approved" and found.request is not None:
            csr = self._checked(results.request(found.request) or b"")
            self._deliver(request, route, Granted(client, csr, changed_name(csr.csr), facts))
            found = results.of(client, route.label, route.operation, now, usage) or found
        if found.state in ("waiting", "approved"):
            return Response.text(
                202, "the request waits for approval", [("Retry-After", str(self._policy.retry_after_s))]
            )
        results.note_fetched(client, route.label, found, now)
        certificate = results.certificate(found.serial) if found.serial else None
        if certificate is None:
            raise HttpError(403, "the request was denied")
        facts |= {"issued_serial": found.serial, "again": True}
        return issued(request, route.site.spoiler.issued(route.operation, certificate), facts)

    def _issue(self, route: Route, granted: Granted, csr: CertificationRequest) -> x509.Certificate:
        """A certificate for the key in `csr`, which need not be the one that was sent."""
        client = granted.client
        certificate = route.site.register.issue(
            csr,
            client.identity,
            label=route.label,
            holder=client.holder,
            name=granted.name,
            asked=granted.csr,
            approval=_who(client, route) if self._policy.require_approval else None,
            also=self._requirements.challenges.issued(csr),
            key_made_here=route.operation == "serverkeygen",
        )
        granted.facts["issued_serial"] = f"{certificate.serial_number:x}"
        return certificate

    def _read(self, request: Request) -> CertificationRequest:
        media_type = request.header("Content-Type")
        if media_type is not None and media_type.split(";")[0].strip().lower() != "application/pkcs10":
            raise HttpError(415, "the body must be application/pkcs10")
        return self._checked(decode_body(request.body, _CSR_LABELS))

    def _checked(self, der: bytes) -> CertificationRequest:
        return read_csr(der, self._policy)

    def _wait(self, request: Request, client: Client, route: Route, csr: CertificationRequest) -> Response | None:
        """None if the request is approved; 202, or once more what was issued for it before."""
        who, by_bytes = _who(client, route), self._policy.pending_by_bytes
        again = Again(self._clock() - self._policy.redelivery, client.certificate)
        # a key that the server made was sent once, and is not kept
        kept = None if route.operation == "serverkeygen" else again
        state = self._queue.state(who, csr, self._clock(), by_bytes=by_bytes, again=kept)
        if state == "denied":
            raise HttpError(403, "the request was denied")
        if state == "approved":
            return None
        found = self._queue.collected(who, csr, again) if state == "issued" else None
        if found is not None:
            facts: dict[str, object] = {"issued_serial": f"{found.serial_number:x}", "again": True}
            return issued(request, route.site.spoiler.issued(route.operation, found), facts)
        return Response.text(202, "the request waits for approval", [("Retry-After", str(self._policy.retry_after_s))])


def _who(client: Client, route: Route) -> tuple[str, str, str]:
    return client.identity, route.label, route.operation
