"""/fullcmc (RFC 7030 section 4.3): a Full PKI Request in, certificates or a Full PKI Response out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from pyasn1_alt_modules import rfc6402

from device_sdk_simulators.cmc.afterwards import Afterwards
from device_sdk_simulators.cmc.answer import Responder, Status
from device_sdk_simulators.cmc.desk import Case
from device_sdk_simulators.cmc.enrolment import Enrolments
from device_sdk_simulators.cmc.message import read_message
from device_sdk_simulators.cmc.pki_data import read_echo, read_pki_data
from device_sdk_simulators.cmc.refusal import BAD_REQUEST, BAD_TIME, CmcRefusedError
from device_sdk_simulators.cmc.store import CmcStore
from device_sdk_simulators.est.answers import base64_body, issued
from device_sdk_simulators.est.bodies import decode_body, encode_body
from device_sdk_simulators.est.queue import ApprovalQueue
from device_sdk_simulators.est.requirements import Requirements
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.est.site import Surroundings
from device_sdk_simulators.http.messages import HttpError, Request, Response

CLOCK_SKEW = timedelta(minutes=15)
_LABELS = ("CMS", "PKCS7")
_MEDIA_TYPES = ("application/pkcs7-mime", "application/x-pkcs7-mime")


class FullCmc:
    """The operation, the same for all CAs of a server.

    Args:
        queue: where requests wait for a person.
        requirements: what requests are held to.
        shared: memory, policy and clock.

    Attributes:
        policy: what is served.
        store: shared secrets, and what is remembered; `store.add_secret(NAME, SECRET)` lets a client in.
    """

    def __init__(self, queue: ApprovalQueue, requirements: Requirements, shared: Surroundings) -> None:
        self.policy = shared.policy
        self._clock = shared.clock
        self._responder = Responder()
        self.store = CmcStore(shared.database)
        self._enrolments = Enrolments(shared, self.store, queue, requirements)
        self._afterwards = Afterwards(shared, self.store)

    def answer(self, request: Request, route: Route, process: Callable[[Case], Response] | None = None) -> Response:
        """200 with certificates or a PKI Response; 4xx with a PKI Response that says why not (EST-206).

        Args:
            request: as it came.
            route: where to.
            process: what is done with the message instead of what it says; its answer, or CmcRefusedError.
        """
        media_type = (request.header("Content-Type") or "").split(";")[0].strip().lower()
        if media_type and media_type not in _MEDIA_TYPES:
            raise HttpError(415, "the body must be application/pkcs7-mime; smime-type=CMC-request")
        case = Case(request, route)
        try:
            self._read(case)
            handle: Callable[[Case], Response | None] = process or self._process
            if (done := handle(case)) is not None:
                return done
            status, headers = 200, []
        except CmcRefusedError as refusal:
            case.answer.certificates, case.answer.anchors = [], []
            case.answer.statuses = [Status(refusal.status, refusal.body_parts, refusal.text, refusal.fail_info)]
            case.facts |= {"reason": refusal.text, "fail_info": refusal.fail_info}
            status, headers = refusal.http_status, refusal.headers
        response = self._response(case, status)
        response.headers = [*headers, *response.headers]
        return response

    def _response(self, case: Case, status: int) -> Response:
        answer = case.answer
        if status == 200 and answer.is_simple and answer.certificates:
            return issued(case.request, answer.certificates, case.facts)
        message = self._responder.sign(answer, case.route.site.hierarchy, self._clock())
        body = encode_body(message, user_agent=case.request.header("User-Agent"))
        response = base64_body(status, "application/pkcs7-mime; smime-type=CMC-response", body)
        response.headers.append(("Content-Disposition", 'attachment; filename="response.p7m"'))
        response.facts = case.facts
        return response

    def _read(self, case: Case) -> None:
        """The message, and what is to be repeated in every answer to it (RFC 5272 section 6.6)."""
        try:
            case.message = read_message(decode_body(case.request.body, _LABELS))
        except HttpError as error:
            raise CmcRefusedError(BAD_REQUEST, error.text) from error
        case.answer.transaction_id, case.answer.recipient_nonce = read_echo(case.message.content)
        case.full = read_pki_data(case.message.content)
        case.answer.data_return = case.full.octets(rfc6402.id_cmc_dataReturn)
        number = case.full.transaction_id
        case.facts["transaction_id"] = None if number is None else f"{number:x}"
        now = self._clock()
        signed_at = case.message.signer.signing_time if case.message.signer else None
        if signed_at is not None and abs(signed_at - now) > CLOCK_SKEW:
            raise CmcRefusedError(BAD_TIME, f"signed at {signed_at:%Y-%m-%dT%H:%M:%SZ}, it is {now:%Y-%m-%dT%H:%M:%SZ}")

    def signed(self, case: Case) -> bytes:
        """The PKCS#10 request of a message that a certificate signed, the one that is shown to TLS; CmcRefusedError."""
        if case.full.request is None:
            raise CmcRefusedError(BAD_REQUEST, "there is no request in the message")
        author, shown = self._enrolments.author(case), case.route.site.gatekeeper.identify(case.request)
        if author.identity != shown.identity:
            raise CmcRefusedError(BAD_REQUEST, "signed by somebody else than who asks", http_status=403)
        self._enrolments.once(case)
        return case.full.request.der

    def _process(self, case: Case) -> None:
        """One thing a message: nothing of what is asked for is passed over in silence."""
        handlers = {
            rfc6402.id_cmc_queryPending: self._enrolments.query,
            rfc6402.id_cmc_revokeRequest: self._afterwards.revoke,
            rfc6402.id_cmc_confirmCertAcceptance: self._afterwards.confirm,
        }
        asked = [handlers[oid] for oid in case.full.controls if oid in handlers]
        if case.full.request is not None:
            asked.append(self._enrolments.enrol)
        if len(asked) != 1:
            raise CmcRefusedError(BAD_REQUEST, f"the message asks for {len(asked)} things; one, please")
        asked[0](case)
