"""/simpleenroll and /simplereenroll (RFC 7030 section 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from device_sdk_simulators.est.answers import issued, refusal
from device_sdk_simulators.est.authorize import CHALLENGE, Client
from device_sdk_simulators.est.bodies import decode_body
from device_sdk_simulators.est.csr import CertificationRequest, read_csr
from device_sdk_simulators.est.queue import ApprovalQueue
from device_sdk_simulators.est.requirements import Requirements
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.http.messages import HttpError, Request, Response
from device_sdk_simulators.policy import Policy

_CSR_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")


class Enrolment:
    """Who asks, what for, may that one have it, and then: yes, no or later.

    Args:
        queue: where requests wait for a person.
        requirements: what requests are held to.
        policy: what is asked for and allowed.
        clock: time of what waits.
    """

    def __init__(
        self, queue: ApprovalQueue, requirements: Requirements, policy: Policy, clock: Callable[[], datetime]
    ) -> None:
        self._queue = queue
        self._requirements = requirements
        self._policy = policy
        self._clock = clock

    def answer(self, request: Request, route: Route) -> Response:
        """200 with a certificate, 202, or a refusal."""
        client = route.site.gatekeeper.identify(request)
        facts: dict[str, object] = {"authentication": client.authentication, "user": client.user}
        facts["registration_authority"] = client.registration_authority or None
        try:
            return self._decide(request, route, client, facts)
        except HttpError as error:
            return refusal(error, facts)

    def _decide(self, request: Request, route: Route, client: Client, facts: dict[str, object]) -> Response:
        if not client.knows_password and client.certificate is None:
            raise HttpError(401, "", CHALLENGE)
        csr = self._read(request)
        facts |= {"subject": csr.csr.subject.rfc4514_string(), "mac_address": csr.mac_address}
        if route.operation == "simpleenroll":
            route.site.gatekeeper.may_enroll(client, csr)
        else:
            route.site.gatekeeper.may_reenroll(client, csr)
        known = self._policy.pending_by_bytes and self._queue.knows_bytes(_who(client, route), csr)
        facts["binding"], name = self._requirements.check(route, client, csr, request.tls, known=known)
        if self._policy.require_approval:
            waiting = self._wait(client, route, csr)
            if waiting is not None:
                waiting.facts |= facts
                return waiting
        certificate = route.site.register.issue(
            csr, client.identity, label=route.label, holder=client.holder, name=name
        )
        self._requirements.challenges.issued(csr, certificate)
        facts["issued_serial"] = f"{certificate.serial_number:x}"
        return issued(request, route.site.spoiler.issued(route.operation, certificate), facts)

    def _read(self, request: Request) -> CertificationRequest:
        media_type = request.header("Content-Type")
        if media_type is not None and media_type.split(";")[0].strip().lower() != "application/pkcs10":
            raise HttpError(415, "the body must be application/pkcs10")
        return read_csr(decode_body(request.body, _CSR_LABELS), self._policy)

    def _wait(self, client: Client, route: Route, csr: CertificationRequest) -> Response | None:
        by_bytes = self._policy.pending_by_bytes
        state = self._queue.state(_who(client, route), csr, self._clock(), by_bytes=by_bytes)
        if state == "denied":
            raise HttpError(403, "the request was denied")
        if state == "approved":
            return None
        return Response.text(202, "the request waits for approval", [("Retry-After", str(self._policy.retry_after_s))])


def _who(client: Client, route: Route) -> tuple[str, str, str]:
    return client.identity, route.label, route.operation
