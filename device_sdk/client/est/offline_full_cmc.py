"""Full CMC by messages that are carried by hand (RFC 7030 section 4.3); the proofs and checks are those of FullCmc."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.est.clock import Clock
from device_sdk.client.est.csr_body import CsrBody
from device_sdk.client.est.full_cmc_body import Author, FullCmcBody, new_transaction
from device_sdk.client.est.full_cmc_proofs import proved, require_one_proof, require_revoked, revoking
from device_sdk.client.est.full_cmc_transaction import FullCmcResult
from device_sdk.client.est.offline_parts import decided, roots_of, saved, spki_of, unbound_csr
from device_sdk.client.est.renewal import renewal_spec, renewal_wishes, require_same_identity
from device_sdk.errors import CmcPendingError, CmcUntrustedError, ConfigurationError, RemoteProtocolError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.model.trust import TlsIdentity
from device_sdk.protocols.est.full_cmc import FullCmcAnswer, Trusted, read_fullcmc
from device_sdk.protocols.est.full_cmc_anchors import signing_time
from device_sdk.protocols.est.full_cmc_carried import CarriedTransaction
from device_sdk.protocols.est.full_cmc_pending import undecided, wait_of
from device_sdk.protocols.est.issued import Enrolled, check_issued
from device_sdk.protocols.est.offline import OfflineRequest, offline_request
from device_sdk.protocols.est.renewed import only_new
from device_sdk.protocols.est.saved_answer import NO_CONNECTION
from device_sdk.protocols.est.urls import EstEndpoint, Operation
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.pki_data import Control, certificate_id, octets, revoke_request, success_status
from device_sdk.wire.cmc.proofs import SharedSecret
from device_sdk.wire.cmc.status import CmcStatus
from device_sdk.wire.cms.signed_data import SignedData
from device_sdk.wire.csrattrs import CsrAttributes


class OfflineFullCmc:
    """The /fullcmc operation by hand; `OfflineEst.fullcmc` is one.

    What makes a message gives a CarriedTransaction: keep it (`to_json`) until the answer is there, and write
    `request(transaction)` to the file that is carried. A secret is in no message but a revocation by secret; an enrolment
    has the proof of it.
    """

    def __init__(self, endpoint: EstEndpoint, clock: Clock) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._url = endpoint.url(Operation.FULLCMC)

    def enroll(
        self,
        key: PrivateKey,
        spec: CsrSpec,
        *,
        shared_secret: SharedSecret | None = None,
        signer: TlsIdentity | None = None,
        wishes: CsrAttributes | None = None,
    ) -> CarriedTransaction:
        """Ask for a certificate for a key; the arguments are those of FullCmc.enroll.

        Raises:
            ConfigurationError: both a shared secret and a signer.
            CsrAttributesError, LocalProtocolError, KeyStoreError: see OfflineEst.enrolment_request.
        """
        require_one_proof(shared_secret, signer)
        author, spec, controls = proved(key, spec, signer, shared_secret)
        csr = unbound_csr(self._endpoint, Operation.FULLCMC, key, spec, wishes)
        return self._begun(author, controls, csr=csr, shared=shared_secret)

    def renew(
        self,
        key: PrivateKey,
        current: TlsIdentity,
        *,
        extra: CsrSpec | None = None,
        wishes: CsrAttributes | None = None,
    ) -> CarriedTransaction:
        """Renew or rekey; the current certificate signs, and its names are repeated (RFC 5272 section 3.2).

        Raises:
            CsrAttributesError, LocalProtocolError, KeyStoreError: see OfflineEst.enrolment_request.
        """
        certificate = current.chain[0]

        def check(csr: x509.CertificateSigningRequest) -> None:
            require_same_identity(csr, certificate)

        spec, asked = renewal_spec(certificate, extra), renewal_wishes(wishes)
        csr = unbound_csr(self._endpoint, Operation.FULLCMC, key, spec, asked, check=check)
        return replace(self._begun(Author(identity=current), csr=csr), renews=certificate)

    def revoke(
        self,
        certificate: x509.Certificate,
        reason: str = "unspecified",
        *,
        signer: TlsIdentity | None = None,
        shared_secret: Secret | None = None,
        comment: str | None = None,
    ) -> CarriedTransaction:
        """Have a certificate revoked; a shared secret travels in the message, readable for whoever carries it.

        Raises:
            ConfigurationError: nobody to sign and no shared secret, or no such reason.
            KeyStoreError: the key could not sign.
        """
        control = revoke_request(certificate, reason, shared_secret=shared_secret, comment=comment)
        begun = self._begun(revoking(signer, shared_secret), (control,))
        return replace(begun, revokes=certificate.fingerprint(hashes.SHA256()).hex())

    def follow_up(
        self, transaction: CarriedTransaction, key: PrivateKey, *, signer: TlsIdentity | None = None
    ) -> CarriedTransaction:
        """The next message: a question what became of the request, or that its certificate is accepted (section 6.14).

        Args:
            transaction: what `read` left, or a PendingRequest of FullCmc.
            key: of the request; it signs unless there is a `signer`.
            signer: the certificate that signed the request, if one did.

        Raises:
            ConfigurationError: the key is another one, or there is nothing to ask.
            KeyStoreError: the key could not sign.
        """
        if self.csr_of(transaction).public_key() != key.public_key():
            raise ConfigurationError("the request that waits is for another key")
        if transaction.issued:
            author = Author(identity=signer or TlsIdentity(transaction.issued, key))
            return self._next(transaction, author, (success_status(), certificate_id(transaction.issued[0])))
        if transaction.token is None:
            raise ConfigurationError("the server gave nothing to ask with")
        author = Author(identity=signer) if signer else Author(key=key)
        return self._next(transaction, author, (octets(oids.QUERY_PENDING, transaction.token),))

    def request(self, transaction: CarriedTransaction) -> OfflineRequest:
        """The message that waits for its answer, as it is carried; the same as often as it is asked for.

        Raises:
            ConfigurationError: none waits.
        """
        _ = transaction.sent
        spki = spki_of(self.csr_of(transaction)) if transaction.csr is not None else b""
        return offline_request(
            self._endpoint, Operation.FULLCMC, self._clock.now(), body=transaction.request, spki=spki
        )

    def read(
        self,
        answer: bytes,
        transaction: CarriedTransaction,
        *,
        anchors: Sequence[x509.Certificate],
        renews: x509.Certificate | None = None,
    ) -> FullCmcResult:
        """What a saved answer says, if it is the one to the message that waits.

        It has to be signed, with the nonce of that message: an unsigned one with nothing but certificates (a Simple PKI
        Response) counts over TLS, where the server is known; from a file any old certificate for the key would be one.

        Args:
            answer: the file.
            transaction: what was kept.
            anchors: the Explicit trust anchors, and CA certificates below them if there are any.
            renews: the certificate that is to be replaced, where the transaction does not have it.

        Raises:
            CmcPendingError: not decided yet, or the CA wants to hear that the certificate is accepted: `pending` is for
                CarriedTransaction.from_json, and `follow_up` makes the next message of it.
            EnrolmentPendingError: HTTP 202, the same message is to be carried again; or a revocation that is not decided.
            CmcRefusedError, CmcUntrustedError: see FullCmc.
            CertificateMismatchError, ClockError: see check_issued.
            ConfigurationError: no message waits for an answer.
            HttpStatusError, RemoteProtocolError, TruncatedResponseError: the answer is none.
        """
        sent, now = transaction.sent, self._clock.now()
        response = decided(saved(answer, self._url, now), now)
        said = read_fullcmc(response, sent, Trusted(roots_of(anchors), tuple(anchors)), now)
        signed = self._signed(said)
        if transaction.csr is None:
            require_revoked(said, self._url)
            return FullCmcResult(None, said.statuses, transaction.transaction_id)
        if transaction.issued:
            return self._confirmed(said, transaction, anchors)
        self._require_decision(said, transaction)
        enrolled = self._checked(said.certificates, transaction, anchors, transaction.renews or renews)
        if said.with_status(CmcStatus.CONFIRM_REQUIRED) is not None:
            raise self._to_be_confirmed(said, transaction, enrolled)
        return FullCmcResult(
            enrolled,
            said.statuses,
            transaction.transaction_id,
            published=said.published,
            signed_at=signing_time(signed),
        )

    @staticmethod
    def csr_of(transaction: CarriedTransaction) -> x509.CertificateSigningRequest:
        """The PKCS#10 request of a transaction.

        Raises:
            ConfigurationError: it is a revocation.
        """
        if transaction.csr is None:
            raise ConfigurationError("this transaction is a revocation")
        return x509.load_der_x509_csr(transaction.csr)

    def _begun(
        self,
        author: Author,
        controls: tuple[Control, ...] = (),
        *,
        csr: CsrBody | None = None,
        shared: SharedSecret | None = None,
    ) -> CarriedTransaction:
        body = FullCmcBody(author, new_transaction(), self._clock, csr=csr, controls=controls, shared=shared)
        request = body(NO_CONNECTION)
        der = csr.csr.public_bytes(Encoding.DER) if csr else None
        return CarriedTransaction(body.sent.transaction_id, der, request, body.sent.sender_nonce)

    def _next(
        self, transaction: CarriedTransaction, author: Author, controls: tuple[Control, ...]
    ) -> CarriedTransaction:
        number, nonce = transaction.transaction_id, transaction.server_nonce
        body = FullCmcBody(author, number, self._clock, controls=controls, server_nonce=nonce)
        return replace(transaction, request=body(NO_CONNECTION), sender_nonce=body.sent.sender_nonce)

    def _signed(self, said: FullCmcAnswer) -> SignedData:
        if said.signed is None:
            raise CmcUntrustedError(
                f"{self._url}: the CMC answer is not believed: nobody signed it, and in a file nothing else shows who made it",
                hint="nothing of it was used, and the right one can still be read; a CA that signs none has to be asked over the network",
                url=self._url,
                reason="unsigned",
            )
        return said.signed

    def _require_decision(self, said: FullCmcAnswer, transaction: CarriedTransaction) -> None:
        info = said.with_status(CmcStatus.PENDING, CmcStatus.PARTIAL)
        if info is None:
            return
        token = transaction.token or info.pend_token
        if token is None:
            raise RemoteProtocolError(f"{self._url}: pending, but without a token to ask with", url=self._url)
        kept = replace(transaction, request=None, sender_nonce=None, server_nonce=said.server_nonce, token=token)
        raise undecided(self._url, info, kept.to_json(), wait_of(info, self._clock.now()))

    def _checked(
        self,
        certificates: Sequence[x509.Certificate],
        transaction: CarriedTransaction,
        anchors: Sequence[x509.Certificate],
        renews: x509.Certificate | None,
    ) -> Enrolled:
        csr = self.csr_of(transaction)
        return check_issued(
            only_new(certificates, csr, renews, url=self._url),
            csr,
            anchors=roots_of(anchors),
            intermediates=anchors,
            now=self._clock.now(),
            url=self._url,
        )

    def _to_be_confirmed(
        self, said: FullCmcAnswer, transaction: CarriedTransaction, enrolled: Enrolled
    ) -> CmcPendingError:
        kept = CarriedTransaction(
            transaction.transaction_id,
            transaction.csr,
            server_nonce=said.server_nonce,
            issued=enrolled.chain,
            renews=transaction.renews,
        )
        return CmcPendingError(
            f"{self._url}: the CA issued the certificate and wants to hear that it is accepted before it is used",
            hint="confirm it by the next request",
            url=self._url,
            pending=kept.to_json(),
        )

    def _confirmed(
        self, said: FullCmcAnswer, transaction: CarriedTransaction, anchors: Sequence[x509.Certificate]
    ) -> FullCmcResult:
        enrolled = self._checked(transaction.issued, transaction, anchors, None)
        return FullCmcResult(enrolled, said.statuses, transaction.transaction_id)
