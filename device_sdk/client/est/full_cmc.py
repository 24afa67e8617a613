"""Full CMC (RFC 7030 section 4.3): enrol, renew, revoke, and ask again, with proofs of their own inside the message."""

from __future__ import annotations

from cryptography import x509

from device_sdk.client.est.csr_body import CsrBody
from device_sdk.client.est.full_cmc_body import Author, new_transaction
from device_sdk.client.est.full_cmc_proofs import proved, require_one_proof, require_revoked, revoking
from device_sdk.client.est.full_cmc_transaction import FullCmcResult, Service, Transaction, Wishes
from device_sdk.client.est.patience import Patience, Progress
from device_sdk.client.est.renewal import renewal_spec, renewal_wishes, require_same_identity
from device_sdk.errors import ConfigurationError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.model.trust import TlsIdentity
from device_sdk.protocols.est.full_cmc_pending import PendingRequest
from device_sdk.wire.cmc.pki_data import Control, revoke_request
from device_sdk.wire.cmc.proofs import SharedSecret

__all__ = ["FullCmc", "FullCmcResult", "PendingRequest", "Service", "SharedSecret"]


class FullCmc:
    """The /fullcmc operation of one EST service; `EstClient.fullcmc` is one.

    Every method raises, beside what it says itself: CmcRefusedError (and its subclasses) for a verified "no",
    CmcUntrustedError for an answer that is not believed, and what EstClient.enroll raises.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def enroll(
        self,
        key: PrivateKey,
        spec: CsrSpec,
        *,
        shared_secret: SharedSecret | None = None,
        signer: TlsIdentity | None = None,
        wishes: Wishes = "fetch",
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> FullCmcResult:
        """Get a certificate for a key.

        The message is signed by `signer`, else, without a shared secret, by the client's TLS identity, else by the key
        itself. A shared secret adds identification, identityProofV2 and the POP link (RFC 5272 sections 6.2 and 6.3).

        Args:
            key: the key to certify.
            spec: what to ask for; with an existing certificate as signer the names should be those of it (RFC 6402
                section 2.4).
            shared_secret: what the CA's operator gave out of band.
            signer: an existing certificate and its key.
            wishes: as for EstClient.enroll.
            wait_s: total seconds to wait while the CA has not decided; None does not wait.
            progress: told before each wait.

        Raises:
            CmcPendingError: not decided yet; its `pending` is for PendingRequest.from_json and `query`.
            ConfigurationError: both a shared secret and a signer.
        """
        require_one_proof(shared_secret, signer)
        identity = signer or (None if shared_secret else self._service.identity)
        patience = Patience(self._service.clock, wait_s, progress)
        asked = self._service.wishes(wishes, patience)
        author, spec, controls = proved(key, spec, identity, shared_secret)
        csr = CsrBody(key, spec, asked, compatibility=self._service.compatibility, url=self._service.url)
        return self._enrol(self._begin(author, patience), key, csr, controls, shared_secret)

    def renew(
        self,
        key: PrivateKey,
        *,
        current: TlsIdentity | None = None,
        renews: x509.Certificate | None = None,
        target: str | None = None,
        extra: CsrSpec | None = None,
        wishes: Wishes = "fetch",
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> FullCmcResult:
        """Renew or rekey: the message is signed by the current certificate, whose names are repeated (section 3.2).

        Args:
            key: the key to certify: a new one (rekey, the usual thing) or the current one.
            current: the certificate to renew and its key; by default the client's TLS identity.
            renews: the certificate to renew if `current` only signs for it: one for key establishment alone signs nothing.
            target: the request target that an entry of the package list has; None for the operation's own.
            extra: further wishes; its subject and names are replaced.
            wishes: as for EstClient.reenroll.
            wait_s: as for `enroll`.
            progress: as for `enroll`.

        Raises:
            ConfigurationError: no current certificate.
            CmcPendingError: as for `enroll`.
        """
        identity = current or self._service.identity
        if identity is None:
            raise ConfigurationError("a renewal is signed by the current certificate: give it and its key")
        certificate = renews or identity.chain[0]
        patience = Patience(self._service.clock, wait_s, progress)
        csr = CsrBody(
            key,
            renewal_spec(certificate, extra),
            renewal_wishes(self._service.wishes(wishes, patience)),
            check=lambda csr: require_same_identity(csr, certificate),
            compatibility=self._service.compatibility,
            url=self._service.url,
        )
        begun = self._begin(Author(identity=identity), patience, renews=renews, target=target)
        return self._enrol(begun, key, csr)

    def query(
        self,
        pending: PendingRequest,
        key: PrivateKey,
        *,
        signer: TlsIdentity | None = None,
        renews: x509.Certificate | None = None,
        target: str | None = None,
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> FullCmcResult:
        """Ask what became of a request that was not decided (section 6.13).

        Args:
            pending: from a CmcPendingError.
            key: the key of the request; it signs the query unless there is a `signer`.
            signer: the certificate that signed the request, if one did.
            renews: as it was for `renew`.
            target: as it was for `renew`.
            wait_s: as for `enroll`.
            progress: as for `enroll`.

        Raises:
            ConfigurationError: the key is not that of the request.
            CmcPendingError: still not decided.
        """
        csr = x509.load_der_x509_csr(pending.csr)
        if csr.public_key() != key.public_key():
            raise ConfigurationError("the request that waits is for another key")
        author = Author(identity=signer) if signer else Author(key=key)
        patience = Patience(self._service.clock, wait_s, progress)
        transaction = Transaction(
            self._service,
            author,
            pending.transaction_id,
            patience,
            server_nonce=pending.server_nonce,
            renews=renews,
            target=target,
        )
        return transaction.settle(transaction.ask(pending.token), key, csr)

    def revoke(
        self,
        certificate: x509.Certificate,
        reason: str = "unspecified",
        *,
        signer: TlsIdentity | None = None,
        shared_secret: Secret | None = None,
        comment: str | None = None,
    ) -> FullCmcResult:
        """Have a certificate revoked (section 6.11).

        Args:
            certificate: the one to revoke.
            reason: CRLReason by its name ("keyCompromise"); see device_sdk.wire.cmc.pki_data.REASONS.
            signer: who asks; by default the client's TLS identity.
            shared_secret: for a client that lost its key: the message is then not signed, and the secret, which
                travels in it, is not to be used for anything else.
            comment: for the CA's operator.

        Raises:
            ConfigurationError: nobody to sign and no shared secret, or no such reason.
            EnrolmentPendingError: a person at the CA decides; nothing is revoked yet.
        """
        author = revoking(signer or self._service.identity, shared_secret)
        control = revoke_request(certificate, reason, shared_secret=shared_secret, comment=comment)
        transaction = self._begin(author, Patience(self._service.clock))
        answer = transaction.send((control,))
        require_revoked(answer, self._service.url)
        return FullCmcResult(None, answer.statuses, transaction.number)

    def _begin(
        self,
        author: Author,
        patience: Patience,
        *,
        renews: x509.Certificate | None = None,
        target: str | None = None,
    ) -> Transaction:
        return Transaction(self._service, author, new_transaction(), patience, renews=renews, target=target)

    def _enrol(
        self,
        transaction: Transaction,
        key: PrivateKey,
        csr: CsrBody,
        controls: tuple[Control, ...] = (),
        shared: SharedSecret | None = None,
    ) -> FullCmcResult:
        with self._service.exchanges.one_use(csr):
            answer = transaction.send(controls, csr=csr, shared=shared)
        return transaction.settle(answer, key, csr.csr)
