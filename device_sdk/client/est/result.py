"""What became of a request whose answer was lost (RFC 8295 section 9; N-02, N-03)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from device_sdk.client.est.full_cmc_transaction import Service, Wishes
from device_sdk.client.est.patience import Patience
from device_sdk.client.est.renewal import renewal_spec, renewal_wishes
from device_sdk.errors import ConfigurationError, EnrolmentPendingError, LocalProtocolError, RemoteProtocolError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.est.full_cmc import FullCmcAnswer, Trusted, read_fullcmc
from device_sdk.protocols.est.full_cmc_pending import wait_of
from device_sdk.protocols.est.issued import Enrolled, check_issued
from device_sdk.protocols.est.renewed import only_new
from device_sdk.protocols.est.requests import result_request
from device_sdk.protocols.est.responses import Pending, read_enrolment
from device_sdk.protocols.est.urls import Operation
from device_sdk.wire.cmc.status import CmcStatus
from device_sdk.wire.csr import build_csr


@dataclass(frozen=True)
class LostRequest:
    """What was asked for.

    Attributes:
        key: the key that was to be certified; signs nothing that is sent.
        spec: what was asked for; with `renews` its subject and names are those of that certificate.
        renews: the certificate to renew; None for a first one.
        wishes: the server's CSR attributes, "fetch" to ask for them now, None to do without.
    """

    key: PrivateKey
    spec: CsrSpec
    renews: x509.Certificate | None = None
    wishes: Wishes = "fetch"

    @property
    def operation(self) -> Operation:
        """Where it was sent."""
        return Operation.SIMPLE_ENROLL if self.renews is None else Operation.SIMPLE_REENROLL


def fetch_result(service: Service, asked: LostRequest, target: str | None, patience: Patience) -> Enrolled | None:
    """See Packages.result."""
    endpoint = service.endpoint
    place = target or endpoint.target(asked.operation)
    by_cmc = endpoint.is_at(Operation.FULLCMC, place)
    operation = Operation.FULLCMC if by_cmc else asked.operation
    if not endpoint.is_at(operation, place):
        places = f"{endpoint.target(operation)}, or at {endpoint.target(Operation.FULLCMC)}"
        raise ConfigurationError(f"{place[:200]}: such results are at {places}")
    ca, wishes, spec = service.ca(patience), service.wishes(asked.wishes, patience), asked.spec
    if asked.renews is not None:
        spec, wishes = renewal_spec(asked.renews, spec), renewal_wishes(wishes)
    response = service.exchanges.send(result_request(place, operation), patience, may_pend=True)
    if response.status_code in (204, 404):
        return None
    now = service.clock.now()
    if by_cmc:
        url = service.url
        answer = _of_full_cmc(
            read_fullcmc(response, None, Trusted(ca.anchors, ca.intermediates, service.lists), now), url, now
        )
    else:
        url = service.endpoint.url(asked.operation)
        answer = _of_simple(read_enrolment(response, now))
    csr = x509.load_der_x509_csr(build_csr(spec, asked.key, wishes=wishes))
    return check_issued(
        only_new(answer, csr, asked.renews, url=url),
        csr,
        anchors=ca.anchors,
        intermediates=ca.intermediates,
        now=now,
        ignored=ca.ignored,
        url=url,
        new_name=spec.new_name,
        lists=service.lists,
    )


def _of_simple(answer: tuple[x509.Certificate, ...] | Pending) -> tuple[x509.Certificate, ...]:
    if isinstance(answer, Pending):  # not reached: `may_pend` waits or raises
        raise LocalProtocolError("a pending answer was not waited for")
    return answer


def _of_full_cmc(answer: FullCmcAnswer, url: str, now: datetime) -> tuple[x509.Certificate, ...]:
    """The certificates of a PKI Response.

    Raises:
        EnrolmentPendingError: it says that nobody has decided yet.
        RemoteProtocolError: the CA wants a confirmation, which is part of the transaction that was lost.
    """
    waits = answer.with_status(CmcStatus.PENDING, CmcStatus.PARTIAL)
    if waits is not None:
        wait_s = wait_of(waits, now)
        raise EnrolmentPendingError(
            f"{url}: the request was accepted and is not decided yet",
            hint=f"ask again in {wait_s:.0f} s",
            url=url,
            retry_after_s=wait_s,
        )
    if answer.with_status(CmcStatus.CONFIRM_REQUIRED) is not None:
        raise RemoteProtocolError(
            f"{url}: the CA wants to be told that the certificate is accepted, by a message of the transaction that was lost",
            hint="ask for another certificate (device-sdk est fullcmc), and have this one revoked",
            url=url,
        )
    return answer.certificates
