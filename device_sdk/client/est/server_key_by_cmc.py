"""Keys the server generates, asked for by Full CMC (types 0020 to 0022 of RFC 8295 section 2.1.1 that lead to /fullcmc).

RFC 8295 says that a key may be had there, and in the form of which section of /serverkeygen; RFC 5272 has no control that asks
for one. What is asked for here is a Full PKI Request with the request of RFC 7030 section 4.4.1 inside, signed by the client's
certificate; what comes is the answer of section 4.4.2, or of RFC 8295 section 8, or a PKI Response that says no, or later.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.est.csr_body import CsrBody
from device_sdk.client.est.full_cmc_body import Author, FullCmcBody, new_transaction
from device_sdk.client.est.full_cmc_transaction import Service
from device_sdk.client.est.patience import Patience
from device_sdk.errors import ConfigurationError, RemoteProtocolError, ServerKeyError
from device_sdk.model.http import HttpResponse
from device_sdk.protocols.est.full_cmc import Trusted, fullcmc_request, read_fullcmc
from device_sdk.protocols.est.full_cmc_pending import PendingRequest, undecided, wait_of
from device_sdk.protocols.est.media import parse_media_type
from device_sdk.protocols.est.responses import Pending
from device_sdk.protocols.est.server_key_answer import CMS, PKCS12, ServerKeyAnswer, read_server_key
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.pki_data import Control, octets
from device_sdk.wire.cmc.status import CmcStatus, StatusInfo


@dataclass
class CmcGeneration:
    """One transaction about one key.

    Attributes:
        service: what it uses of the client.
        target: the request target of the entry.
        patience: how long to wait in all.
        accepted: which of the media types of RFC 8295 there is a policy for.
        pending: what an earlier run asked for and is not decided, or None.
    """

    service: Service
    target: str
    patience: Patience
    accepted: Collection[str]
    pending: PendingRequest | None = None

    def ask(self, body: CsrBody) -> tuple[ServerKeyAnswer, x509.CertificateSigningRequest]:
        """Ask for a key, or for what became of the earlier request, until there is a decision.

        Args:
            body: the request inside; its key is that of nobody.

        Returns:
            The answer, not checked yet, and the request that it is about.

        Raises:
            CmcPendingError: not decided yet.
            CmcRefusedError: a verified "no".
            ServerKeyError: the server certified the key of the request, and made none; `made_none` is set.
            ConfigurationError: the client has no certificate to sign with.
            DeviceSdkError: as FullCmc.enroll and read_server_key.
        """
        kept = self.pending
        number = kept.transaction_id if kept else new_transaction()
        token, nonce = (kept.token, kept.server_nonce) if kept else (None, None)
        csr = x509.load_der_x509_csr(kept.csr) if kept else None
        while True:
            controls = () if token is None else (octets(oids.QUERY_PENDING, token),)
            message = self._message(number, body if token is None else None, controls, nonce)
            response = self._send(message)
            csr = csr or body.csr
            if _is_key(response):
                accepted = self.accepted
                return read_server_key(response, self.service.clock.now(), accepted=accepted), csr
            info, nonce = self._later(response, message)
            token = token or info.pend_token
            if token is None:
                raise RemoteProtocolError(f"{self._url}: pending, but without a token to ask with", url=self._url)
            self._wait(info, PendingRequest(token, number, csr.public_bytes(Encoding.DER), nonce))

    @property
    def _url(self) -> str:
        return f"{self.service.endpoint.origin}{self.target}"

    def _message(
        self, number: int, csr: CsrBody | None, controls: tuple[Control, ...], nonce: bytes | None
    ) -> FullCmcBody:
        if self.service.identity is None:
            raise ConfigurationError("a key is asked for in a message that a certificate signs: give it and its key")
        author = Author(identity=self.service.identity)
        return FullCmcBody(author, number, self.service.clock, csr=csr, controls=controls, server_nonce=nonce)

    def _send(self, message: FullCmcBody) -> HttpResponse:
        accept = (("Accept", PKCS12),) if PKCS12 in self.accepted else ()
        request = fullcmc_request(self.service.endpoint, message, target=self.target, headers=accept)
        return self.service.exchanges.send(request, self.patience, may_pend=True)

    def _later(self, response: HttpResponse, message: FullCmcBody) -> tuple[StatusInfo, bytes | None]:
        """What a PKI Response says that is no refusal: it is not decided; raises as read_fullcmc, and ServerKeyError."""
        service = self.service
        ca = service.ca(self.patience)
        trusted = Trusted(ca.anchors, ca.intermediates, service.lists)
        answer = read_fullcmc(response, message.sent, trusted, service.clock.now())
        info = answer.with_status(CmcStatus.PENDING, CmcStatus.PARTIAL)
        if info is None:
            raise ServerKeyError(
                f"{self._url}: the server certified the key that the request was signed with, and generated none",
                hint="nothing was kept, and that key is gone: have the server's operator revoke the certificate",
                url=self._url,
                made_none=True,
            )
        return info, answer.server_nonce

    def _wait(self, info: StatusInfo, pending: PendingRequest) -> None:
        wait_s = wait_of(info, self.service.clock.now())
        self.patience.tell(Pending(wait_s, info.text))
        if not self.patience.wait(wait_s):
            raise undecided(self._url, info, pending.to_json(), wait_s)


def _is_key(response: HttpResponse) -> bool:
    """Whether it is an answer of /serverkeygen; a PKI Response is application/pkcs7-mime, alone."""
    name = parse_media_type(response.header("Content-Type")).name
    return response.status_code in (200, 201) and (name == "multipart/mixed" or name in (CMS, PKCS12))
