"""The EST client (RFC 7030): CA certificates, CSR attributes, enrolment and re-enrolment over one TLS connection."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self, TypeAlias

from cryptography import x509

from device_sdk.client.est.clock import Clock
from device_sdk.client.est.csr_body import CsrBody
from device_sdk.client.est.exchange import carry
from device_sdk.client.est.renewal import renewal_spec, renewal_wishes, require_same_identity
from device_sdk.errors import ConfigurationError, EnrolmentPendingError
from device_sdk.model.compatibility import STANDARD, Compatibility
from device_sdk.model.credentials import Credentials
from device_sdk.model.csr import CsrSpec
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.model.keys import PrivateKey
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.protocols.est.ca_certificates import CaCertificates, check_ca_certificates
from device_sdk.protocols.est.conversation import Conversation
from device_sdk.protocols.est.issued import Enrolled, check_issued
from device_sdk.protocols.est.requests import cacerts_request, csrattrs_request, enroll_request
from device_sdk.protocols.est.responses import Pending, read_cacerts, read_csrattrs, read_enrolment
from device_sdk.protocols.est.urls import EstEndpoint, Operation, parse_est_url
from device_sdk.transports.base import Timeouts, Transport
from device_sdk.transports.factory import open_transport
from device_sdk.wire.csrattrs import CsrAttributes

Wishes: TypeAlias = CsrAttributes | Literal["fetch"] | None
"""What the server wants in the CSR: fetched before, to be fetched now (EST-170), or not asked for."""

Progress: TypeAlias = Callable[[Pending], None]
"""Told about every 202 before the client waits."""

_MIN_WAIT_S = 1.0
# A connection that idles longer than this is closed; servers close it soon after anyway.
_KEEP_OPEN_S = 30.0


class EstClient:
    """One EST service, one trust decision, one TLS identity; the connection is kept between operations.

    Args:
        url: the service; see device_sdk.protocols.est.urls.parse_est_url for the forms.
        trust: whom to trust; without any anchor use `bootstrap` first.
        label: CA label, unless the URL holds it.
        identity: certificate and key for TLS client authentication; the key may live in a token or TPM.
        credentials: user name and password; sent only to an authorized server, and only when it asks.
        timeouts: limits of one exchange.
        proxy: an http:// proxy's URL, "" for none, None for HTTPS_PROXY and NO_PROXY of the environment.
        max_tls_version: "1.2" for servers that know no channel binding of TLS 1.3; None for the newest.
        clock: the time.
        compatibility: what requests are bound to, and what is sent again after a 202.
        srp: user name and password for certificate-less TLS (RFC 7030 section 3.3.3); the server is then authorized by
            knowing the password, and needs no trust anchor. Explicit anchors that are given stay the only ones.

    Raises:
        ConfigurationError: a URL or label that cannot be one, or nothing to trust.
    """

    def __init__(  # noqa: PLR0913  # every argument but the first two has a default
        self,
        url: str,
        trust: ServerTrust,
        *,
        label: str | None = None,
        identity: TlsIdentity | None = None,
        credentials: Credentials | None = None,
        timeouts: Timeouts | None = None,
        proxy: str | None = None,
        max_tls_version: str | None = None,
        clock: Clock | None = None,
        compatibility: Compatibility = STANDARD,
        srp: Credentials | None = None,
    ) -> None:
        self._endpoint = parse_est_url(url, label)
        if not (trust.explicit or trust.implicit or srp):
            raise ConfigurationError(
                f"{self._endpoint.origin}: nothing is trusted to vouch for this server",
                hint="give trust anchors, or bootstrap with the fingerprint of its CA",
            )
        self._trust = trust
        self._identity = identity
        self._credentials = credentials
        self._clock = clock or Clock()
        self._compatibility = compatibility
        self._ca: CaCertificates | None = None
        self._transport: Transport = open_transport(
            self._endpoint.origin,
            trust,
            identity=identity,
            timeouts=timeouts or Timeouts(),
            proxy=proxy,
            max_tls_version=max_tls_version or compatibility.highest_tls_version,
            srp=srp,
        )

    @property
    def endpoint(self) -> EstEndpoint:
        """Where this client talks to."""
        return self._endpoint

    def cacerts(self) -> CaCertificates:
        """Fetch and check the CA certificates (RFC 7030 section 4.1, EST-110 to EST-123).

        Raises:
            HttpStatusError: any status but 200.
            RemoteProtocolError: not a certs-only message, an empty one, or no usable root.
        """
        url = self._endpoint.url(Operation.CACERTS)
        response = self._exchange(cacerts_request(self._endpoint))
        now = self._clock.now()
        self._ca = check_ca_certificates(read_cacerts(response, now), self._trust.explicit, now, url=url)
        return self._ca

    def csrattrs(self) -> CsrAttributes:
        """Ask what the server wants in a CSR (RFC 7030 section 4.5); empty if it has no wishes.

        Raises:
            HttpStatusError: a status other than 200, 204, 404.
            RemoteProtocolError: not a CSR attributes message.
        """
        return read_csrattrs(self._exchange(csrattrs_request(self._endpoint)), self._clock.now())

    def enroll(
        self,
        key: PrivateKey,
        spec: CsrSpec,
        *,
        wishes: Wishes = "fetch",
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> Enrolled:
        """Get a first certificate for a key (RFC 7030 section 4.2.1).

        Fetches the CA certificates first unless `cacerts` was called (EST-131).

        Args:
            key: the key to certify; it signs the request and does nothing else here.
            spec: what to ask for.
            wishes: CSR attributes: an answer of `csrattrs`, "fetch" to ask for them now, None to do without.
            wait_s: total seconds to wait while the server answers 202; None does not wait.
            progress: told about each 202.

        Raises:
            EnrolmentPendingError: 202, and `wait_s` is not set or too short.
            AuthenticationRequiredError: 401 without credentials, or they were refused.
            HttpStatusError: the server refused.
            CertificateMismatchError: the certificate is not for this key or leads to no Explicit anchor.
            ClockError: the certificate is not valid yet, according to this machine's clock.
        """
        body = CsrBody(key, spec, self._wishes(wishes), compatibility=self._compatibility)
        return self._enroll(body, wait_s, progress, renewal=False)

    def reenroll(
        self,
        key: PrivateKey,
        current: CsrSpec | x509.Certificate | None = None,
        *,
        wishes: Wishes = "fetch",
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> Enrolled:
        """Renew or rekey a certificate (RFC 7030 section 4.2.2).

        Subject and subjectAltName are those of the current certificate, byte by byte (EST-150); the current
        certificate should be the TLS identity of this client (EST-152).

        Args:
            key: the key to certify: a new one (rekey, the usual thing) or the current one (renew).
            current: the certificate to renew, by default the TLS identity's; or a CsrSpec with further wishes, whose
                subject and names are replaced by those of the TLS identity's certificate.
            wishes: as for `enroll`; what they say about subject and names does not count.
            wait_s: as for `enroll`.
            progress: as for `enroll`.

        Raises:
            ConfigurationError: neither a certificate nor a TLS identity was given.
            DeviceSdkError: as for `enroll`.
        """
        certificate = current if isinstance(current, x509.Certificate) else self._own_certificate()
        spec = renewal_spec(certificate, current if isinstance(current, CsrSpec) else None)
        asked = renewal_wishes(self._wishes(wishes))
        body = CsrBody(
            key,
            spec,
            asked,
            check=lambda csr: require_same_identity(csr, certificate),
            compatibility=self._compatibility,
        )
        return self._enroll(body, wait_s, progress, renewal=True)

    def close(self) -> None:
        """Close the connection; a later operation opens a new one."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _exchange(self, request: HttpRequest) -> HttpResponse:
        return carry(Conversation(request, self._endpoint.origin, self._credentials), self._transport)

    def _wishes(self, wishes: Wishes) -> CsrAttributes | None:
        if self._ca is None:
            self.cacerts()
        return self.csrattrs() if wishes == "fetch" else wishes

    def _own_certificate(self) -> x509.Certificate:
        if self._identity is None:
            raise ConfigurationError(
                "re-enrolment needs the current certificate: as the TLS identity, or as an argument"
            )
        return self._identity.chain[0]

    def _enroll(self, body: CsrBody, wait_s: float | None, progress: Progress | None, *, renewal: bool) -> Enrolled:
        operation = Operation.SIMPLE_REENROLL if renewal else Operation.SIMPLE_ENROLL
        url = self._endpoint.url(operation)
        request = enroll_request(self._endpoint, body, renewal=renewal)
        deadline = self._clock.monotonic() + (wait_s or 0.0)
        while True:
            answer = read_enrolment(self._exchange(request), self._clock.now())
            if not isinstance(answer, Pending):
                break
            body.accepted()
            self._wait(answer, url, deadline, progress)
        if body.bound:
            # One use per connection (RFC 9266 section 4.1, EST-100).
            self._transport.close()
        ca = self._ca or self.cacerts()
        return check_issued(
            answer,
            body.csr,
            anchors=ca.anchors,
            intermediates=ca.intermediates,
            now=self._clock.now(),
            url=url,
        )

    def _wait(self, pending: Pending, url: str, deadline: float, progress: Progress | None) -> None:
        wait_s = max(pending.retry_after_s, _MIN_WAIT_S)
        if progress:
            progress(pending)
        if self._clock.monotonic() + wait_s > deadline:
            said = f" ({pending.server_text})" if pending.server_text else ""
            raise EnrolmentPendingError(
                f"{url}: the request was accepted and is not decided yet{said}",
                hint=f"ask again in {wait_s:.0f} s with the same key",
                url=url,
                retry_after_s=wait_s,
            )
        if wait_s > _KEEP_OPEN_S and self._compatibility.after_202 != "keep-connection":
            self._transport.close()
        self._clock.sleep(wait_s)
