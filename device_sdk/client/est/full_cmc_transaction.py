"""One CMC transaction: messages with one identifier, each giving back the other side's nonce (RFC 5272 section 6.6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.est.clock import Clock
from device_sdk.client.est.csr_body import CsrBody
from device_sdk.client.est.exchange import Exchanges
from device_sdk.client.est.full_cmc_body import Author, FullCmcBody
from device_sdk.client.est.patience import Patience
from device_sdk.client.est.returns import Returns
from device_sdk.errors import RemoteProtocolError
from device_sdk.model.compatibility import Compatibility
from device_sdk.model.keys import PrivateKey
from device_sdk.model.trust import TlsIdentity
from device_sdk.protocols.est.ca_certificates import CaCertificates
from device_sdk.protocols.est.full_cmc import FullCmcAnswer, Trusted, fullcmc_request, read_fullcmc
from device_sdk.protocols.est.full_cmc_anchors import signing_time
from device_sdk.protocols.est.full_cmc_pending import PendingRequest, undecided, wait_of
from device_sdk.protocols.est.issued import Enrolled, check_issued
from device_sdk.protocols.est.renewed import only_new
from device_sdk.protocols.est.responses import Pending
from device_sdk.protocols.est.urls import EstEndpoint, Operation
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.pki_data import Control, certificate_id, octets, success_status
from device_sdk.wire.cmc.proofs import SharedSecret
from device_sdk.wire.cmc.status import CmcStatus, StatusInfo
from device_sdk.wire.cmc.trust_anchors import PublishedAnchors
from device_sdk.wire.csrattrs import CsrAttributes

Wishes: TypeAlias = CsrAttributes | Literal["fetch"] | None


@dataclass(frozen=True)
class Service:
    """What Full CMC uses of an EstClient.

    Attributes:
        endpoint: where to.
        exchanges: carries requests.
        clock: the time.
        identity: the client's certificate and key, or None.
        compatibility: how requests are bound to the connection.
        ca: the checked CA certificates, fetched at first use.
        wishes: the server's CSR attributes.
        lists: revocation lists that were checked.
        returns: keeps receipts and errors until the server has them; None sends them at once.
        implicit: whether the operating system's anchors may vouch for the server.
    """

    endpoint: EstEndpoint
    exchanges: Exchanges
    clock: Clock
    identity: TlsIdentity | None
    compatibility: Compatibility
    ca: Callable[[Patience], CaCertificates]
    wishes: Callable[[Wishes, Patience], CsrAttributes | None]
    lists: tuple[x509.CertificateRevocationList, ...] = ()
    returns: Returns | None = None
    implicit: bool = False

    @property
    def url(self) -> str:
        """Where Full CMC is."""
        return self.endpoint.url(Operation.FULLCMC)


@dataclass(frozen=True)
class FullCmcResult:
    """What a Full PKI Request achieved.

    Attributes:
        enrolled: the certificate, checked; None for a revocation.
        statuses: what the server said; empty where it said nothing but the certificate.
        transaction_id: the number both sides know it by.
        published: trust anchors the CA would like to be accepted, or None; nothing is done about them here (EST-75), see
            device_sdk.protocols.est.full_cmc_anchors.accept_published.
        signed_at: when the CA says it signed the answer, UTC, or None.
    """

    enrolled: Enrolled | None
    statuses: tuple[StatusInfo, ...]
    transaction_id: int
    published: PublishedAnchors | None = None
    signed_at: datetime | None = None


class Transaction:
    """Sends the messages of one transaction.

    Args:
        service: where to.
        author: who signs them.
        number: the transaction identifier.
        patience: how long to wait in all.
        server_nonce: the server's latest nonce, where the transaction began in another run.
        renews: the certificate that is to be replaced, if it is not the one that signs.
        target: the request target that an entry of the package list has; None for the operation's own.
    """

    def __init__(
        self,
        service: Service,
        author: Author,
        number: int,
        patience: Patience,
        *,
        server_nonce: bytes | None = None,
        renews: x509.Certificate | None = None,
        target: str | None = None,
    ) -> None:
        self._service = service
        self._author = author
        self._patience = patience
        self._target = target
        self._server_nonce = server_nonce
        self._renews = renews or (author.identity.chain[0] if author.identity else None)
        self.number = number

    def send(
        self, controls: tuple[Control, ...] = (), *, csr: CsrBody | None = None, shared: SharedSecret | None = None
    ) -> FullCmcAnswer:
        """One message and its verified answer.

        Raises:
            CmcRefusedError, CmcUntrustedError, HttpStatusError, RemoteProtocolError: see read_fullcmc.
        """
        return self._send(self._author, controls, csr, shared)

    def ask(self, token: bytes) -> FullCmcAnswer:
        """QueryPending (section 6.13)."""
        return self.send((octets(oids.QUERY_PENDING, token),))

    def settle(self, answer: FullCmcAnswer, key: PrivateKey, csr: x509.CertificateSigningRequest) -> FullCmcResult:
        """Ask until there is a decision or no more patience; then check the certificate, and confirm it if asked to.

        Args:
            answer: the answer to a request or query.
            key: the key of the request.
            csr: what the certificate is checked against.

        Raises:
            CmcPendingError: not decided yet.
            CertificateMismatchError, ClockError: see check_issued.
        """
        token: bytes | None = None
        while (info := answer.with_status(CmcStatus.PENDING, CmcStatus.PARTIAL)) is not None:
            token = token or info.pend_token
            if token is None:
                raise RemoteProtocolError(f"{self._service.url}: pending, but without a token to ask with")
            self._wait(info, token, csr)
            answer = self.ask(token)
        enrolled = self._checked(answer, csr)
        statuses = answer.statuses
        if answer.with_status(CmcStatus.CONFIRM_REQUIRED) is not None:
            statuses += self._confirm(enrolled, key).statuses
        return FullCmcResult(
            enrolled,
            statuses,
            self.number,
            published=answer.published,
            signed_at=signing_time(answer.signed) if answer.signed else None,
        )

    def _wait(self, info: StatusInfo, token: bytes, csr: x509.CertificateSigningRequest) -> None:
        wait_s = wait_of(info, self._service.clock.now())
        self._patience.tell(Pending(wait_s, info.text))
        if not self._patience.wait(wait_s):
            pending = PendingRequest(token, self.number, csr.public_bytes(Encoding.DER), self._server_nonce)
            raise undecided(self._service.url, info, pending.to_json(), wait_s)

    def _checked(self, answer: FullCmcAnswer, csr: x509.CertificateSigningRequest) -> Enrolled:
        ca = self._service.ca(self._patience)
        return check_issued(
            only_new(answer.certificates, csr, self._renews, url=self._service.url),
            csr,
            anchors=ca.anchors,
            intermediates=ca.intermediates,
            now=self._service.clock.now(),
            ignored=ca.ignored,
            url=self._service.url,
            lists=self._service.lists,
        )

    def _confirm(self, enrolled: Enrolled, key: PrivateKey) -> FullCmcAnswer:
        """Section 6.14: the certificate is not used before the server acknowledged that it is accepted.

        Who had no certificate before signs with the new one: that is what "accepted" means.
        """
        author = self._author if self._author.identity else Author(identity=TlsIdentity(enrolled.chain, key))
        return self._send(author, (success_status(), certificate_id(enrolled.certificate)))

    def _send(
        self,
        author: Author,
        controls: tuple[Control, ...],
        csr: CsrBody | None = None,
        shared: SharedSecret | None = None,
    ) -> FullCmcAnswer:
        service = self._service
        ca = service.ca(self._patience)
        body = FullCmcBody(
            author,
            self.number,
            service.clock,
            csr=csr,
            controls=controls,
            shared=shared,
            server_nonce=self._server_nonce,
        )
        response = service.exchanges.send(
            fullcmc_request(service.endpoint, body, target=self._target), self._patience, may_pend=True
        )
        answer = read_fullcmc(
            response, body.sent, Trusted(ca.anchors, ca.intermediates, service.lists), service.clock.now()
        )
        self._server_nonce = answer.server_nonce
        return answer
