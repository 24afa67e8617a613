"""What became of a request whose answer was lost (RFC 8295 section 9; N-02, N-03)."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509

from device_sdk.client.est.full_cmc_transaction import Service, Wishes
from device_sdk.client.est.patience import Patience
from device_sdk.client.est.renewal import renewal_spec, renewal_wishes
from device_sdk.errors import ConfigurationError, LocalProtocolError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.est.issued import Enrolled, check_issued
from device_sdk.protocols.est.renewed import only_new
from device_sdk.protocols.est.requests import result_request
from device_sdk.protocols.est.responses import Pending, read_enrolment
from device_sdk.protocols.est.urls import Operation
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
    usual = service.endpoint.target(asked.operation)
    if target is not None and target.partition("?")[0] != usual:
        raise ConfigurationError(f"{target[:200]}: such results are at {usual}")
    ca, wishes, spec = service.ca(patience), service.wishes(asked.wishes, patience), asked.spec
    if asked.renews is not None:
        spec, wishes = renewal_spec(asked.renews, spec), renewal_wishes(wishes)
    response = service.exchanges.send(result_request(target or usual), patience, may_pend=True)
    if response.status_code in (204, 404):
        return None
    now, url = service.clock.now(), service.endpoint.url(asked.operation)
    answer = read_enrolment(response, now)
    if isinstance(answer, Pending):  # not reached: `may_pend` waits or raises
        raise LocalProtocolError("a pending answer was not waited for")
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
