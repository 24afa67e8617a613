"""The EST client (RFC 7030): CA certificates, CSR attributes, enrolment and re-enrolment over one TLS connection."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from cryptography import x509

from device_sdk.client.est.clock import Clock
from device_sdk.client.est.connections import Connections, unvouched
from device_sdk.client.est.csr_body import CsrBody
from device_sdk.client.est.exchange import Exchanges
from device_sdk.client.est.patience import Patience, Progress
from device_sdk.client.est.refused import explained
from device_sdk.client.est.renewal import renewal_spec, renewal_wishes, require_same_identity
from device_sdk.errors import ConfigurationError, LocalProtocolError
from device_sdk.model.compatibility import STANDARD, Compatibility
from device_sdk.model.credentials import Credentials
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType, PrivateKey
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.protocols.est.backoff import RetryPolicy
from device_sdk.protocols.est.ca_certificates import CaCertificates, check_ca_certificates
from device_sdk.protocols.est.issued import Enrolled, check_issued
from device_sdk.protocols.est.login import Login
from device_sdk.protocols.est.redirects import RedirectRule
from device_sdk.protocols.est.renewed import only_new
from device_sdk.protocols.est.requests import cacerts_request, csrattrs_request, enroll_request
from device_sdk.protocols.est.responses import Pending, read_cacerts, read_csrattrs, read_enrolment
from device_sdk.protocols.est.urls import EstEndpoint, Operation, parse_est_url
from device_sdk.transports.base import Timeouts, Transport
from device_sdk.transports.factory import open_transport
from device_sdk.wire.csrattrs import CsrAttributes

if TYPE_CHECKING:
    from device_sdk.client.est.full_cmc import FullCmc
    from device_sdk.client.est.full_cmc_transaction import Service
    from device_sdk.client.est.packages import Packages
    from device_sdk.client.est.relay import Relay
    from device_sdk.client.est.server_key import ProtectionKey, ServerKey, ServerKeyForms

Wishes: TypeAlias = CsrAttributes | Literal["fetch"] | None
"""What the server wants in the CSR: fetched before, to be fetched now (EST-170), or not asked for."""


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
        redirects: asked before a request other than GET goes to another origin (EST-29); None refuses. A GET follows
            without asking. Neither takes HTTP credentials along, and only what was asked about shows the certificate.
        retry: how soon to ask again after 429 and 503, and whether to when no connection came about.

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
        redirects: RedirectRule | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._endpoint = parse_est_url(url, label, compatibility.dialect)
        if not (trust.explicit or trust.implicit or srp):
            raise ConfigurationError(
                f"{self._endpoint.origin}: nothing is trusted to vouch for this server",
                hint="give trust anchors, or bootstrap with the fingerprint of its CA",
            )
        self._trust = trust
        self._identity = identity
        self._clock = clock or Clock()
        self._compatibility = compatibility
        self._body: CsrBody | None = None
        self._ca: CaCertificates | None = None

        def connect(origin: str, *, show_identity: bool) -> Transport:
            if origin != self._endpoint.origin and not (trust.explicit or trust.implicit):
                raise unvouched(origin)
            return open_transport(
                origin,
                trust,
                identity=identity if show_identity else None,
                timeouts=timeouts or Timeouts(),
                proxy=proxy,
                max_tls_version=max_tls_version or compatibility.highest_tls_version,
                srp=srp if origin == self._endpoint.origin else None,
            )

        connections = Connections(self._endpoint.origin, connect, redirects)
        self._exchanges = Exchanges(
            connections,
            self._clock,
            credentials=Login(credentials) if credentials else None,
            policy=retry,
            keep_open=compatibility.after_202 == "keep-connection",
        )

    @property
    def endpoint(self) -> EstEndpoint:
        """Where this client talks to."""
        return self._endpoint

    @property
    def client_authenticated(self) -> bool:
        """Whether an answer came over a connection whose server had asked for the client certificate and was shown it."""
        return self._exchanges.client_authenticated

    def cacerts(self, *, wait_s: float | None = None, progress: Progress | None = None) -> CaCertificates:
        """Fetch and check the CA certificates (RFC 7030 section 4.1, EST-110 to EST-123).

        Args:
            wait_s: total seconds to wait while the server is overloaded (429, 503); None does not wait.
            progress: told before each wait.

        Raises:
            HttpStatusError: any status but 200.
            RemoteProtocolError: not a certs-only message, an empty one, or no usable root.
        """
        return self._cacerts(Patience(self._clock, wait_s, progress))

    def _cacerts(self, patience: Patience) -> CaCertificates:
        url = self._endpoint.url(Operation.CACERTS)
        response = self._exchanges.send(cacerts_request(self._endpoint), patience)
        now = self._clock.now()
        bag, trust = read_cacerts(response, now), self._trust
        self._ca = check_ca_certificates(bag, trust.explicit, now, url=url, lists=trust.lists)
        return self._ca

    def csrattrs(
        self, *, target: str | None = None, wait_s: float | None = None, progress: Progress | None = None
    ) -> CsrAttributes:
        """Ask what the server wants in a CSR (RFC 7030 section 4.5); empty if it has no wishes.

        Args:
            target: the request target that an entry of the package list has; None for the operation's own.
            wait_s: as for `cacerts`.
            progress: as for `cacerts`.

        Raises:
            HttpStatusError: a status other than 200, 204, 404.
            RemoteProtocolError: not a CSR attributes message.
        """
        return self._csrattrs(Patience(self._clock, wait_s, progress), target)

    def _csrattrs(self, patience: Patience, target: str | None = None) -> CsrAttributes:
        response = self._exchanges.send(csrattrs_request(self._endpoint, target), patience)
        return read_csrattrs(response, self._clock.now())

    def enroll(
        self,
        key: PrivateKey,
        spec: CsrSpec,
        *,
        target: str | None = None,
        wishes: Wishes = "fetch",
        wait_s: float | None = None,
        progress: Progress | None = None,
        pending: bytes | None = None,
    ) -> Enrolled:
        """Get a first certificate for a key (RFC 7030 section 4.2.1).

        Fetches the CA certificates first unless `cacerts` was called (EST-131).

        Args:
            key: the key to certify; it signs the request and does nothing else here.
            spec: what to ask for.
            target: as for `csrattrs`.
            wishes: CSR attributes: an answer of `csrattrs`, "fetch" to ask for them now, None to do without.
            wait_s: total seconds to wait while the server answers "later" (202, 429, 503); None does not wait.
            progress: told before each wait.
            pending: what `pending_request` was when an earlier run was told to wait; see Compatibility.after_202.

        Raises:
            EnrolmentPendingError: 202, and `wait_s` is not set or too short.
            AuthenticationRequiredError: 401 without credentials, or they were refused.
            HttpStatusError: the server refused.
            CertificateMismatchError: the certificate is not for this key or leads to no Explicit anchor.
            ClockError: the certificate is not valid yet, according to this machine's clock.
        """
        patience = Patience(self._clock, wait_s, progress)
        asked = self._wishes(wishes, patience)
        url = self._endpoint.url(Operation.SIMPLE_ENROLL)
        body = CsrBody(key, spec, asked, compatibility=self._compatibility, pending=pending, url=url)
        return self._enroll(body, patience, target)

    def reenroll(
        self,
        key: PrivateKey,
        current: CsrSpec | x509.Certificate | None = None,
        *,
        renews: x509.Certificate | None = None,
        target: str | None = None,
        wishes: Wishes = "fetch",
        wait_s: float | None = None,
        progress: Progress | None = None,
        pending: bytes | None = None,
    ) -> Enrolled:
        """Renew or rekey a certificate (RFC 7030 section 4.2.2).

        Subject and subjectAltName are those of the current certificate, byte by byte (EST-150); the current
        certificate should be the TLS identity of this client (EST-152).

        Args:
            key: the key to certify: a new one (rekey, the usual thing) or the current one (renew).
            current: the certificate to renew, by default the TLS identity's; or a CsrSpec with further wishes, whose
                subject and names are replaced by those of the TLS identity's certificate. Its `new_name` asks for a
                certificate of another name (EST-153).
            renews: with a CsrSpec, the certificate to renew if it is not the TLS identity's: one for key establishment
                alone shows nothing in TLS.
            target: as for `csrattrs`; one of /simpleenroll may be asked for a renewal, too.
            wishes: as for `enroll`; what they say about subject and names does not count.
            wait_s: as for `enroll`.
            progress: as for `enroll`.
            pending: as for `enroll`.

        Raises:
            ConfigurationError: neither a certificate nor a TLS identity was given.
            CertificateMismatchError: as for `enroll`; or the answer is the current certificate again.
            DeviceSdkError: as for `enroll`.
        """
        certificate = current if isinstance(current, x509.Certificate) else renews or self._own_certificate()
        spec = renewal_spec(certificate, current if isinstance(current, CsrSpec) else None)
        patience = Patience(self._clock, wait_s, progress)
        asked = renewal_wishes(self._wishes(wishes, patience))
        body = CsrBody(
            key,
            spec,
            asked,
            check=lambda csr: require_same_identity(csr, certificate),
            compatibility=self._compatibility,
            pending=pending,
            url=self._endpoint.url(Operation.SIMPLE_REENROLL),
        )
        return self._enroll(body, patience, target, renews=certificate)

    def serverkeygen(  # noqa: PLR0913  # every argument but the first has a default
        self,
        spec: CsrSpec,
        signer: PrivateKey | None = None,
        *,
        decrypt: ProtectionKey | None = None,
        allow_clear: bool = False,
        key_type: KeyType | None = None,
        forms: ServerKeyForms | None = None,
        wishes: Wishes = "fetch",
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> ServerKey:
        """Have the server generate a key and certify it (RFC 7030 section 4.4); for devices that cannot make their own.

        Whoever generated the key may keep it. Nothing of it is written or logged; the caller keeps what is returned.

        Args:
            spec: what to ask for, as in `enroll`; what of it the certificate has is the server's affair.
            signer: signs the request, which the server ignores (EST-191); by default a key made for it and forgotten.
            decrypt: a DecryptionKey or SharedKey that the private key is encrypted to, beyond TLS (EST-192).
            allow_clear: take the private key protected by TLS alone; not together with `decrypt` (EST-197).
            key_type: what the server should generate, said by the type of the request's own key; another is refused.
            forms: what the server may answer with beyond the forms of RFC 7030 (RFC 8295 section 8).
            wishes: as for `enroll`.
            wait_s: as for `enroll`.
            progress: as for `enroll`.

        Raises:
            ConfigurationError: not exactly one of `decrypt`, `allow_clear` and PKCS#12; or the operating system's anchors may vouch
                for this server, which is not enough for a private key (EST-190).
            ServerKeyError: the key, or the way it is protected, is not what was asked for.
            EnvelopeError: `decrypt` does not open what came.
            VerificationError: the encrypted key was not signed by anybody trusted.
            KeyPackageRefusedError: a package of RFC 8295 that is not as its policy wants it.
            Pkcs12PasswordError: the password does not open the PKCS#12 file.
            ClockError: the certificate is not valid yet, according to this machine's clock; `pem` and `private_key` of the
                error are what was received, and the caller should keep them.
            DeviceSdkError: as for `enroll`.
        """
        from device_sdk.client.est.server_key import RFC_7030, ServerKeyGeneration, require_protection

        forms = forms or RFC_7030
        require_protection(decrypt, allow_clear=allow_clear, pkcs12=forms.pkcs12)
        patience = Patience(self._clock, wait_s, progress)
        return ServerKeyGeneration(self._service(), decrypt, forms).request(spec, signer, key_type, wishes, patience)

    @property
    def fullcmc(self) -> FullCmc:
        """Full CMC (RFC 7030 section 4.3): enrol, renew, revoke and query by messages with proofs of their own."""
        from device_sdk.client.est.full_cmc import FullCmc

        return FullCmc(self._service())

    @property
    def identity(self) -> TlsIdentity | None:
        """Certificate and key that are shown, or None."""
        return self._identity

    @property
    def packages(self) -> Packages:
        """The package list, certificates of peers and revocation lists (RFC 8295)."""
        from device_sdk.client.est.packages import Packages

        return Packages(self._service())

    @property
    def relay(self) -> Relay:
        """The requests of others, which this client vouches for as a registration authority (RFC 7030 section 3.7)."""
        from device_sdk.client.est.relay import Relay

        return Relay(self._service())

    @property
    def pending_request(self) -> bytes | None:
        """DER of the request that was answered by 202, if it has to be repeated as it is (Compatibility.after_202)."""
        return self._body.pending if self._body else None

    def close(self) -> None:
        """Close the connection; a later operation opens a new one."""
        self._exchanges.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _service(self) -> Service:
        from device_sdk.client.est.full_cmc_transaction import Service

        return Service(
            endpoint=self._endpoint,
            exchanges=self._exchanges,
            clock=self._clock,
            identity=self._identity,
            compatibility=self._compatibility,
            ca=lambda patience: self._ca or self._cacerts(patience),
            wishes=self._wishes,
            lists=self._trust.lists,
            implicit=self._trust.implicit,
        )

    def _wishes(self, wishes: Wishes, patience: Patience) -> CsrAttributes | None:
        if self._ca is None:
            self._cacerts(patience)
        return self._csrattrs(patience) if wishes == "fetch" else wishes

    def _own_certificate(self) -> x509.Certificate:
        if self._identity is None:
            raise ConfigurationError(
                "re-enrolment needs the current certificate: as the TLS identity, or as an argument"
            )
        return self._identity.chain[0]

    def _enroll(
        self, body: CsrBody, patience: Patience, target: str | None, *, renews: x509.Certificate | None = None
    ) -> Enrolled:
        self._body = body
        request = enroll_request(self._endpoint, body, renewal=renews is not None, target=target)
        with self._exchanges.one_use(body), explained(body):
            response = self._exchanges.send(request, patience, may_pend=True, accepted=body.accepted)
            answer = read_enrolment(response, self._clock.now())
        if isinstance(answer, Pending):  # not reached: `may_pend` waits or raises
            raise LocalProtocolError("a pending answer was not waited for")
        ca = self._ca or self._cacerts(patience)
        url = f"{self._endpoint.origin}{request.target}"
        return check_issued(
            only_new(answer, body.csr, renews, url=url),
            body.csr,
            anchors=ca.anchors,
            intermediates=ca.intermediates,
            now=self._clock.now(),
            ignored=ca.ignored,
            url=url,
            new_name=body.new_name,
            lists=self._trust.lists,
        )
