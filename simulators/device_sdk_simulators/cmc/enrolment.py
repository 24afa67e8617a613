"""Certification requests, at once or after a person decided (RFC 5272 sections 3.2 and 6.13)."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

from cryptography import x509
from pyasn1_alt_modules import rfc6402

from device_sdk_simulators.ca.names import same_name
from device_sdk_simulators.cmc.answer import CONFIRM_REQUIRED, PENDING, SUCCESS, Status
from device_sdk_simulators.cmc.desk import Case, Desk
from device_sdk_simulators.cmc.refusal import (
    BAD_REQUEST,
    NO_KEY_REUSE,
    POP_FAILED,
    POP_REQUIRED,
    TRY_LATER,
    CmcRefusedError,
)
from device_sdk_simulators.cmc.store import CmcStore, Waiting
from device_sdk_simulators.est.approved import content_digest
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.binding import check_binding
from device_sdk_simulators.est.change_name import changed_name
from device_sdk_simulators.est.csr import PARSE_ERRORS, CertificationRequest, read_csr
from device_sdk_simulators.est.queue import ApprovalQueue, NotApprovedError
from device_sdk_simulators.est.requirements import Requirements
from device_sdk_simulators.est.results import Results
from device_sdk_simulators.est.site import Surroundings
from device_sdk_simulators.http.messages import HttpError

NO_SIGNATURE = "1.3.6.1.5.5.7.6.2"


class Enrolments(Desk):
    """Issues, makes wait, and answers who asks again.

    Args:
        shared: memory, policy and clock.
        store: what CMC remembers.
        queue: where requests wait for a person.
        requirements: what requests are held to, the same as at /simpleenroll.
    """

    def __init__(self, shared: Surroundings, store: CmcStore, queue: ApprovalQueue, requirements: Requirements) -> None:
        super().__init__(shared, store)
        self._queue = queue
        self._requirements = requirements
        self._results = Results(shared.database, shared.policy)

    def enrol(self, case: Case) -> None:
        """A PKCS#10 request in a Full PKI Request; CmcRefusedError."""
        assert case.full.request is not None
        part = case.full.request.body_part
        csr = self._read_csr(case.full.request.der, part)
        client = self.author(case, csr.csr)
        self.once(case)
        if (witness := case.full.controls.get(rfc6402.id_cmc_lraPOPWitness)) is not None:
            # section 6.8: what a server says that leaves no proof of possession to others
            raise CmcRefusedError(POP_FAILED, "this server sees to POP itself", body_parts=(witness.body_part,))
        case.facts |= {"subject": csr.csr.subject.rfc4514_string(), "mac_address": csr.mac_address}
        self._authorize(case, client, csr, part)
        self._require(case, client, csr, part)
        key = (client.identity, case.route.label, "fullcmc")
        if not self.policy.require_approval:
            self._issue(case, csr, client.identity, part, holder=client.holder)
            return
        state = self._queued(key, csr, part)
        row = self._row(key, csr)
        if state == "approved":
            self._collect(case, row, csr, part, holder=client.holder)
        elif state == "denied":
            raise CmcRefusedError(BAD_REQUEST, "the request was denied", http_status=403)
        else:
            now = self.shared.clock()
            self.store.end(now - self.policy.waiting_ends)
            pend_time = now + timedelta(seconds=self.policy.retry_after_s)
            waiting = self.store.wait(case.full.transaction_id, int(row["id"]), pend_time, holder=client.holder)
            self._pending(case, waiting, part)

    def query(self, case: Case) -> None:
        """QueryPending. The answer can be fetched again: a client may have lost it. CmcRefusedError."""
        control = case.full.controls[rfc6402.id_cmc_queryPending]
        part = control.body_part
        waiting = self.store.waiting(bytes(control.value))
        number = waiting.request if waiting else None
        row = self.shared.database.row("SELECT * FROM requests WHERE id = ?", number)
        if waiting is None or row is None or row["label"] != case.route.label:
            raise CmcRefusedError(BAD_REQUEST, "nothing waits under that token", body_parts=(part,))
        csr = self._read_csr(row["csr"], part)
        self._check_asker(case, csr.csr, str(row["identity"]))
        self._check_continues(case, waiting)
        self.once(case, repeatable=True)
        self._queue.asked(int(row["id"]), self.shared.clock())
        if row["state"] == "denied":
            raise CmcRefusedError(BAD_REQUEST, "the request was denied", body_parts=(part,), http_status=403)
        if row["state"] == "waiting":
            self._pending(case, waiting, part)
        else:
            self._collect(case, row, csr, part, holder=waiting.holder)

    def _queued(self, key: tuple[str, str, str], csr: CertificationRequest, part: int) -> str:
        try:
            return self._queue.state(key, csr, self.shared.clock())
        except HttpError as error:
            status, headers = error.status, error.headers
            raise CmcRefusedError(
                TRY_LATER, error.text, body_parts=(part,), http_status=status, headers=headers
            ) from error

    def _read_csr(self, der: bytes, part: int) -> CertificationRequest:
        try:
            csr = x509.load_der_x509_csr(der)
            if csr.signature_algorithm_oid.dotted_string == NO_SIGNATURE:
                # EST-135: key establishment keys would need the challenge of section 6.7, which is no part of this server
                raise CmcRefusedError(POP_REQUIRED, "the request proves no possession of its key", body_parts=(part,))
            if not csr.is_signature_valid:
                text = "the signature of the request is not one by the key in it"
                raise CmcRefusedError(POP_FAILED, text, body_parts=(part,))
            return read_csr(der, self.policy)
        except HttpError as error:
            raise CmcRefusedError(BAD_REQUEST, error.text, body_parts=(part,)) from error
        except PARSE_ERRORS as error:
            raise CmcRefusedError(BAD_REQUEST, "not a PKCS#10 request", body_parts=(part,)) from error

    def _authorize(self, case: Case, client: Client, csr: CertificationRequest, part: int) -> None:
        """The rules of simpleenroll and simplereenroll; a certificate of this CA that asks for its own name renews."""
        gatekeeper, own = case.route.site.gatekeeper, client.certificate
        renews = own is not None and not client.third_party and same_name(own.subject, csr.csr.subject)
        if renews and own is not None and self.policy.forbid_key_reuse and own.public_key() == csr.public_key:
            raise CmcRefusedError(NO_KEY_REUSE, "a new key is needed to renew here", body_parts=(part,))
        try:
            if renews:
                gatekeeper.may_reenroll(client, csr)
            else:
                gatekeeper.may_enroll(client, csr)
        except HttpError as error:
            text = error.text or "not allowed"
            raise CmcRefusedError(BAD_REQUEST, text, body_parts=(part,), http_status=403) from error

    def _require(self, case: Case, client: Client, csr: CertificationRequest, part: int) -> None:
        """The binding, the challenges and what /csrattrs asked for."""
        tls, trusted = case.request.tls, client.registration_authority
        try:
            check_binding(csr.bindings, tls, self.policy, registration_authority=trusted)
        except HttpError as error:
            # EST-102: popFailed, and the text says that linking is required
            raise CmcRefusedError(POP_FAILED, error.text, body_parts=(part,)) from error
        try:
            case.facts["binding"], _name = self._requirements.check(case.route, client, csr, tls, known=False)
        except HttpError as error:
            status = error.status if error.status != 401 else 403
            raise CmcRefusedError(BAD_REQUEST, error.text, body_parts=(part,), http_status=status) from error

    def _collect(
        self, case: Case, row: sqlite3.Row, csr: CertificationRequest, part: int, *, holder: str | None
    ) -> None:
        """The certificate of a request that was approved: one, however often it is asked for."""
        identity = str(row["identity"])
        if row["state"] == "approved":
            try:
                approval = identity, str(row["label"]), "fullcmc"
                self._issue(case, csr, identity, part, holder=holder, approval=approval)
                return
            except NotApprovedError:
                # another connection was faster: what it got is the answer
                pass
        found = self.shared.database.row(
            "SELECT der FROM requests JOIN certificates USING (serial) WHERE id = ? AND revoked_at IS NULL", row["id"]
        )
        if found is None:
            raise CmcRefusedError(BAD_REQUEST, "the certificate was revoked", body_parts=(part,))
        self._give(case, [x509.load_der_x509_certificate(found["der"])], part)

    def _issue(
        self,
        case: Case,
        csr: CertificationRequest,
        identity: str,
        part: int,
        *,
        holder: str | None,
        approval: tuple[str, str, str] | None = None,
    ) -> None:
        site, label = case.route.site, case.route.label
        name = changed_name(csr.csr)
        certificate = site.register.issue(
            csr,
            identity,
            label=label,
            holder=holder,
            name=name,
            approval=approval,
            also=self._requirements.challenges.issued(csr),
        )
        case.facts["issued_serial"] = f"{certificate.serial_number:x}"
        if not self.policy.fullcmc_confirm:  # else the certificate is not to be used before another message
            self._results.note(identity, case.route, certificate, self.shared.clock())
        self._give(case, site.spoiler.issued("fullcmc", certificate), part)

    def _give(self, case: Case, certificates: list[x509.Certificate], part: int) -> None:
        case.answer.certificates = certificates
        if self.policy.fullcmc_publish_anchors:
            case.answer.anchors = [root.certificate for root in case.route.site.hierarchy.roots]
            # one number a second is enough to rise with every rollover
            case.answer.anchors_number = int(self.shared.clock().timestamp())
        status = CONFIRM_REQUIRED if self.policy.fullcmc_confirm else SUCCESS
        case.answer.statuses = [Status(status, (part,))]

    def _row(self, key: tuple[str, str, str], csr: CertificationRequest) -> sqlite3.Row:
        row = self.shared.database.row(
            "SELECT * FROM requests WHERE identity = ? AND label = ? AND operation = ? AND subject = ? AND spki_sha256 = ?"
            " AND content = ?"
            " ORDER BY id DESC",
            *key,
            csr.csr.subject.rfc4514_string(),
            csr.spki_sha256,
            content_digest(csr),
        )
        assert row is not None
        return row

    def _pending(self, case: Case, waiting: Waiting, part: int) -> None:
        if case.answer.recipient_nonce is not None:
            # only then there is one in the answer
            self.store.gave_nonce(waiting.token, case.answer.nonce)
        text = "the request waits for approval"
        case.facts["reason"] = text
        status = Status(PENDING, (part,), text, pend_token=waiting.token, pend_time=waiting.pend_time)
        case.answer.statuses = [status]

    def _check_asker(self, case: Case, csr: x509.CertificateSigningRequest, identity: str) -> None:
        """Who asks is who asked: the same certificate's holder, or the key of the request."""
        signer = case.message.signer
        if signer is not None and signer.issuer_and_serial is None:
            case.message.verify(csr.public_key())
            case.facts |= {"authentication": "cmc:key", "identity": identity}
            return
        client = self.author(case)
        if client.identity != identity and not client.registration_authority:
            raise CmcRefusedError(BAD_REQUEST, "the request of somebody else", http_status=403)

    def _check_continues(self, case: Case, waiting: Waiting) -> None:
        full = case.full
        if full.transaction_id != waiting.transaction_id:
            part = full.body_part(rfc6402.id_cmc_transactionId)
            raise CmcRefusedError(BAD_REQUEST, "another transaction than that of the request", body_parts=(part,))
        nonce = full.octets(rfc6402.id_cmc_recipientNonce)
        if nonce is not None and nonce != waiting.nonce:
            part = full.body_part(rfc6402.id_cmc_recipientNonce)
            raise CmcRefusedError(BAD_REQUEST, "recipientNonce is not the nonce of the last answer", body_parts=(part,))
