"""/fullcmc (RFC 7030 section 4.3): a Full PKI Request in, certificates or a Full PKI Response out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from cryptography import x509
from pyasn1_alt_modules import rfc6402

from device_sdk_simulators.ca.names import same_name
from device_sdk_simulators.cmc.answer import CONFIRM_REQUIRED, PENDING, SUCCESS, Answer, Responder, Status
from device_sdk_simulators.cmc.authors import identify_certificate, identify_request_key, require_no_proofs
from device_sdk_simulators.cmc.message import Message, read_message
from device_sdk_simulators.cmc.pki_data import FullRequest, read_echo, read_pki_data
from device_sdk_simulators.cmc.refusal import (
    BAD_CERT_ID,
    BAD_MESSAGE_CHECK,
    BAD_REQUEST,
    BAD_TIME,
    NO_KEY_REUSE,
    POP_FAILED,
    POP_REQUIRED,
    CmcRefusedError,
)
from device_sdk_simulators.cmc.revocation import find_certificate, revoke
from device_sdk_simulators.cmc.store import CmcStore, Waiting
from device_sdk_simulators.est.answers import base64_body, issued
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.binding import check_binding
from device_sdk_simulators.est.bodies import decode_body, encode_body
from device_sdk_simulators.est.csr import CertificationRequest, read_csr
from device_sdk_simulators.est.queue import ApprovalQueue
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.est.site import Surroundings
from device_sdk_simulators.http.messages import HttpError, Request, Response

NO_SIGNATURE = "1.3.6.1.5.5.7.6.2"
CLOCK_SKEW = timedelta(minutes=15)
_LABELS = ("CMS", "PKCS7")
_MEDIA_TYPES = ("application/pkcs7-mime", "application/x-pkcs7-mime")


@dataclass
class _Case:
    """One message on its way through."""

    request: Request
    route: Route
    answer: Answer = field(default_factory=Answer)
    facts: dict[str, object] = field(default_factory=dict)


class FullCmc:
    """The operation, the same for all CAs of a server.

    Args:
        queue: where requests wait for a person.
        shared: memory, policy and clock.

    Attributes:
        store: shared secrets, and what is remembered; `store.add_secret(NAME, SECRET)` lets a client in.
    """

    def __init__(self, queue: ApprovalQueue, shared: Surroundings) -> None:
        self._queue = queue
        self._shared = shared
        self._policy = shared.policy
        self._responder = Responder()
        self.store = CmcStore(shared.database)

    def answer(self, request: Request, route: Route) -> Response:
        """200 with certificates or a PKI Response; 4xx with a PKI Response that says why not (EST-206); 404 when off."""
        if not self._policy.fullcmc:
            raise HttpError(404, "no such operation")
        media_type = (request.header("Content-Type") or "").split(";")[0].strip().lower()
        if media_type and media_type not in _MEDIA_TYPES:
            raise HttpError(415, "the body must be application/pkcs7-mime; smime-type=CMC-request")
        case = _Case(request, route)
        try:
            self._process(case)
            status = 200
        except CmcRefusedError as refusal:
            case.answer.certificates, case.answer.anchors = [], []
            case.answer.statuses = [Status(refusal.status, refusal.body_parts, refusal.text, refusal.fail_info)]
            case.facts |= {"reason": refusal.text, "fail_info": refusal.fail_info}
            status = refusal.http_status
        return self._response(case, status)

    def _response(self, case: _Case, status: int) -> Response:
        answer = case.answer
        if status == 200 and answer.is_simple and answer.certificates:
            return issued(case.request, answer.certificates, case.facts)
        message = self._responder.sign(answer, case.route.site.hierarchy, self._shared.clock())
        body = encode_body(message, user_agent=case.request.header("User-Agent"))
        response = base64_body(status, "application/pkcs7-mime; smime-type=CMC-response", body)
        response.headers.append(("Content-Disposition", 'attachment; filename="response.p7m"'))
        response.facts = case.facts
        return response

    def _process(self, case: _Case) -> None:
        message, full = self._read(case)
        if rfc6402.id_cmc_queryPending in full.controls:
            self._query(case, message, full)
        elif rfc6402.id_cmc_revokeRequest in full.controls:
            self._revoke(case, message, full)
        elif rfc6402.id_cmc_confirmCertAcceptance in full.controls:
            self._confirm(case, message, full)
        elif full.request is not None:
            self._enrol(case, message, full)
        else:
            raise CmcRefusedError(BAD_REQUEST, "the message asks for nothing")

    def _read(self, case: _Case) -> tuple[Message, FullRequest]:
        """The message, and what is to be repeated in every answer to it (RFC 5272 section 6.6)."""
        try:
            message = read_message(decode_body(case.request.body, _LABELS))
        except HttpError as error:
            raise CmcRefusedError(BAD_REQUEST, error.text) from error
        case.answer.transaction_id, case.answer.recipient_nonce = read_echo(message.content)
        full = read_pki_data(message.content)
        case.answer.data_return = full.octets(rfc6402.id_cmc_dataReturn)
        case.facts["transaction_id"] = None if full.transaction_id is None else f"{full.transaction_id:x}"
        now = self._shared.clock()
        signed_at = message.signer.signing_time if message.signer else None
        if signed_at is not None and abs(signed_at - now) > CLOCK_SKEW:
            raise CmcRefusedError(BAD_TIME, f"signed at {signed_at:%Y-%m-%dT%H:%M:%SZ}, it is {now:%Y-%m-%dT%H:%M:%SZ}")
        return message, full

    def _once(self, full: FullRequest) -> None:
        """After the signature was verified, so that nobody can use up the nonces of others."""
        nonce = full.octets(rfc6402.id_cmc_senderNonce)
        if nonce is not None and not self.store.is_new(nonce, self._shared.clock()):
            part = full.body_part(rfc6402.id_cmc_senderNonce)
            raise CmcRefusedError(BAD_REQUEST, "this message was answered before", body_parts=(part,))

    def _enrol(self, case: _Case, message: Message, full: FullRequest) -> None:
        assert full.request is not None
        part = full.request.body_part
        csr = self._read_csr(full.request.der, part)
        client = self._author(case, message, full, csr.csr)
        self._once(full)
        case.facts |= {"subject": csr.csr.subject.rfc4514_string(), "mac_address": csr.mac_address}
        try:
            case.facts["binding"] = check_binding(
                csr.bindings, case.request.tls, self._policy, registration_authority=client.registration_authority
            )
        except HttpError as error:
            # EST-102: popFailed, and the text says that linking is required
            raise CmcRefusedError(POP_FAILED, error.text, body_parts=(part,)) from error
        self._authorize(case, client, csr, part)
        key = (client.identity, case.route.label, "fullcmc")
        if self._policy.require_approval:
            state = self._queue.state(key, csr, self._shared.clock())
            if state != "approved":
                self._wait(case, full, self._number(key, csr), state)
                return
        self._issue(case, csr, client.identity, part)

    def _read_csr(self, der: bytes, part: int) -> CertificationRequest:
        try:
            csr = x509.load_der_x509_csr(der)
            if csr.signature_algorithm_oid.dotted_string == NO_SIGNATURE:
                # EST-135: key establishment keys would need the challenge of section 6.7, which is no part of this server
                raise CmcRefusedError(POP_REQUIRED, "the request proves no possession of its key", body_parts=(part,))
            if not csr.is_signature_valid:
                raise CmcRefusedError(
                    POP_FAILED, "the signature of the request is not one by the key in it", body_parts=(part,)
                )
            return read_csr(der, self._policy)
        except HttpError as error:
            raise CmcRefusedError(BAD_REQUEST, error.text, body_parts=(part,)) from error
        except ValueError as error:
            raise CmcRefusedError(BAD_REQUEST, "not a PKCS#10 request", body_parts=(part,)) from error

    def _author(
        self, case: _Case, message: Message, full: FullRequest, csr: x509.CertificateSigningRequest | None
    ) -> Client:
        """Who signed; the TLS connection and HTTP count only where the message proves nothing."""
        if message.signer is None:
            raise CmcRefusedError(BAD_MESSAGE_CHECK, "the message is not signed")
        gatekeeper = case.route.site.gatekeeper
        if message.signer.issuer_and_serial is not None:
            require_no_proofs(full)
            client = identify_certificate(message, case.request, gatekeeper, self._policy)
            how = "certificate"
        elif csr is not None:
            client = identify_request_key(message, full, csr, case.request, gatekeeper, self.store)
            how = "shared secret" if client.identity.startswith("user:cmc:") else "user"
        else:
            raise CmcRefusedError(BAD_MESSAGE_CHECK, "the signer's key is not known here")
        case.facts |= {"authentication": f"cmc:{how}", "user": client.user, "identity": client.identity}
        case.facts["registration_authority"] = client.registration_authority or None
        return client

    def _authorize(self, case: _Case, client: Client, csr: CertificationRequest, part: int) -> None:
        """The rules of simpleenroll and simplereenroll; a certificate of this CA that asks for its own name renews."""
        gatekeeper, own = case.route.site.gatekeeper, client.certificate
        renews = own is not None and not client.third_party and same_name(own.subject, csr.csr.subject)
        if renews and own is not None and self._policy.forbid_key_reuse and own.public_key() == csr.public_key:
            raise CmcRefusedError(NO_KEY_REUSE, "a new key is needed to renew here", body_parts=(part,))
        try:
            if renews:
                gatekeeper.may_reenroll(client, csr)
            else:
                gatekeeper.may_enroll(client, csr)
        except HttpError as error:
            text = error.text or "not allowed"
            raise CmcRefusedError(BAD_REQUEST, text, body_parts=(part,), http_status=403) from error

    def _issue(self, case: _Case, csr: CertificationRequest, identity: str, part: int) -> None:
        site, label = case.route.site, case.route.label
        certificate = site.register.issue(csr, identity, label=label)
        case.facts["issued_serial"] = f"{certificate.serial_number:x}"
        self._give(case, site.spoiler.issued("fullcmc", certificate), part)

    def _give(self, case: _Case, certificates: list[x509.Certificate], part: int) -> None:
        case.answer.certificates = certificates
        if self._policy.fullcmc_publish_anchors:
            case.answer.anchors = [root.certificate for root in case.route.site.hierarchy.roots]
            # one number a second is enough to rise with every rollover
            case.answer.anchors_number = int(self._shared.clock().timestamp())
        status = CONFIRM_REQUIRED if self._policy.fullcmc_confirm else SUCCESS
        case.answer.statuses = [Status(status, (part,))]

    def _number(self, key: tuple[str, str, str], csr: CertificationRequest) -> int:
        row = self._shared.database.row(
            "SELECT id FROM requests WHERE identity = ? AND label = ? AND operation = ? AND spki_sha256 = ?"
            " ORDER BY id DESC",
            *key,
            csr.spki_sha256,
        )
        assert row is not None
        return int(row["id"])

    def _wait(self, case: _Case, full: FullRequest, number: int, state: str) -> None:
        if state == "denied":
            raise CmcRefusedError(BAD_REQUEST, "the request was denied", http_status=403)
        pend_time = self._shared.clock() + timedelta(seconds=self._policy.retry_after_s)
        waiting = self.store.wait(full.transaction_id, number, pend_time)
        self._pending(case, waiting, full.request.body_part if full.request else 0)

    def _pending(self, case: _Case, waiting: Waiting, part: int) -> None:
        self.store.gave_nonce(waiting.token, case.answer.nonce)
        text = "the request waits for approval"
        case.facts["reason"] = text
        status = Status(PENDING, (part,), text, pend_token=waiting.token, pend_time=waiting.pend_time)
        case.answer.statuses = [status]

    def _query(self, case: _Case, message: Message, full: FullRequest) -> None:
        """Section 6.13. The answer can be fetched again: a client may have lost it."""
        control = full.controls[rfc6402.id_cmc_queryPending]
        waiting = self.store.waiting(bytes(control.value))
        number = waiting.request if waiting else None
        row = self._shared.database.row("SELECT * FROM requests WHERE id = ?", number)
        if waiting is None or row is None or row["label"] != case.route.label:
            raise CmcRefusedError(BAD_REQUEST, "nothing waits under that token", body_parts=(control.body_part,))
        csr = self._read_csr(row["csr"], control.body_part)
        self._check_asker(case, message, full, csr.csr, str(row["identity"]))
        self._check_continues(full, waiting)
        self._once(full)
        if row["state"] == "denied":
            raise CmcRefusedError(
                BAD_REQUEST, "the request was denied", body_parts=(control.body_part,), http_status=403
            )
        if row["state"] == "waiting":
            self._pending(case, waiting, control.body_part)
        elif row["state"] == "approved":
            self._issue(case, csr, str(row["identity"]), control.body_part)
        else:
            self._give(case, self._issued_before(csr), control.body_part)

    def _check_asker(
        self,
        case: _Case,
        message: Message,
        full: FullRequest,
        csr: x509.CertificateSigningRequest,
        identity: str,
    ) -> None:
        """Who asks is who asked: the same certificate's holder, or the key of the request."""
        if message.signer is not None and message.signer.issuer_and_serial is None:
            message.verify(csr.public_key())
            case.facts |= {"authentication": "cmc:key", "identity": identity}
            return
        client = self._author(case, message, full, None)
        if client.identity != identity and not client.registration_authority:
            raise CmcRefusedError(BAD_REQUEST, "the request of somebody else", http_status=403)

    def _check_continues(self, full: FullRequest, waiting: Waiting) -> None:
        if full.transaction_id != waiting.transaction_id:
            part = full.body_part(rfc6402.id_cmc_transactionId)
            raise CmcRefusedError(BAD_REQUEST, "another transaction than that of the request", body_parts=(part,))
        nonce = full.octets(rfc6402.id_cmc_recipientNonce)
        if nonce is not None and nonce != waiting.nonce:
            part = full.body_part(rfc6402.id_cmc_recipientNonce)
            raise CmcRefusedError(BAD_REQUEST, "recipientNonce is not the nonce of the last answer", body_parts=(part,))

    def _issued_before(self, csr: CertificationRequest) -> list[x509.Certificate]:
        row = self._shared.database.row(
            "SELECT der FROM certificates WHERE spki_sha256 = ? AND revoked_at IS NULL ORDER BY rowid DESC",
            csr.spki_sha256,
        )
        if row is None:
            raise CmcRefusedError(BAD_REQUEST, "the certificate was revoked")
        return [x509.load_der_x509_certificate(row["der"])]

    def _revoke(self, case: _Case, message: Message, full: FullRequest) -> None:
        control = full.controls[rfc6402.id_cmc_revokeRequest]
        by_secret = message.signer is None and control.value["passphrase"].isValue
        client = None if by_secret else self._author(case, message, full, None)
        self._once(full)
        serial = revoke(control, client, case.route.site, self._shared.database, self.store)
        case.facts |= {"revoked_serial": serial, "revocation_reason": int(control.value["reason"])}
        case.answer.statuses = [Status(SUCCESS, (control.body_part,))]
        # a Full PKI Response MUST be returned for a revocation request (section 6.11)
        case.answer.recipient_nonce = case.answer.recipient_nonce or b""

    def _confirm(self, case: _Case, message: Message, full: FullRequest) -> None:
        control = full.controls[rfc6402.id_cmc_confirmCertAcceptance]
        client = self._author(case, message, full, None)
        self._once(full)
        certificate = find_certificate(control, self._shared.database)
        own = client.certificate
        if certificate is None or own is None or not same_name(own.subject, certificate.subject):
            raise CmcRefusedError(BAD_CERT_ID, "no such certificate of yours", body_parts=(control.body_part,))
        case.facts["confirmed_serial"] = f"{certificate.serial_number:x}"
        case.answer.statuses = [Status(SUCCESS, (control.body_part,))]
        case.answer.recipient_nonce = case.answer.recipient_nonce or b""
