"""EST without a network: make the request now, read the answer later; the checks are those of EstClient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cryptography import x509

from device_sdk.client.est.clock import Clock
from device_sdk.client.est.csr_body import CsrBody, CsrCheck
from device_sdk.client.est.offline_parts import decided, roots_of, saved, spki_of, unbound_csr
from device_sdk.client.est.renewal import renewal_spec, renewal_wishes, require_same_identity
from device_sdk.errors import ConfigurationError, FingerprintMismatchError, LocalProtocolError, VerificationError
from device_sdk.model.compatibility import Dialect
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType, PrivateKey
from device_sdk.model.trust import Pin
from device_sdk.protocols.est.ca_certificates import CaCertificates, check_ca_certificates
from device_sdk.protocols.est.issued import Enrolled, check_issued
from device_sdk.protocols.est.offline import OfflineRequest, offline_request
from device_sdk.protocols.est.pinning import fingerprints, pinned_anchors, require_current
from device_sdk.protocols.est.renewed import only_new
from device_sdk.protocols.est.responses import Pending, read_cacerts, read_csrattrs, read_enrolment
from device_sdk.protocols.est.saved_answer import NO_CONNECTION, as_message, as_multipart
from device_sdk.protocols.est.urls import Operation, parse_est_url
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.path import name_of

if TYPE_CHECKING:
    from device_sdk.client.est.offline_full_cmc import OfflineFullCmc
    from device_sdk.client.est.server_key import ServerKeyForms
    from device_sdk.protocols.est.server_key import ProtectionKey, ServerKey


class OfflineEst:
    """The requests to one EST service, and what becomes of its answers, carried by hand.

    Two things are not what they are online. Requests are bound to no connection, so a server that demands the binding
    refuses them. And no TLS connection shows who answered: the CA certificates count by pin or anchors, the issued
    certificate by the key and the anchors it leads to, and who carried them does not matter. Of CSR attributes nothing
    shows who made them, so they never push a request below local policy (EST-179).

    Args:
        url: the service; see device_sdk.protocols.est.urls.parse_est_url for the forms.
        label: CA label, unless the URL holds it.
        clock: the time.
        dialect: how the service spells its operations.
    """

    def __init__(
        self, url: str, *, label: str | None = None, clock: Clock | None = None, dialect: Dialect = "rfc7030"
    ) -> None:
        self._endpoint = parse_est_url(url, label, dialect)
        self._clock = clock or Clock()

    def cacerts_request(self) -> OfflineRequest:
        """GET /cacerts."""
        return offline_request(self._endpoint, Operation.CACERTS, self._clock.now())

    def csrattrs_request(self) -> OfflineRequest:
        """GET /csrattrs."""
        return offline_request(self._endpoint, Operation.CSRATTRS, self._clock.now())

    def enrolment_request(
        self, key: PrivateKey, spec: CsrSpec, *, wishes: CsrAttributes | None = None
    ) -> OfflineRequest:
        """POST /simpleenroll for a key; it signs the request.

        Args:
            key: the key to certify.
            spec: what to ask for.
            wishes: what `read_csrattrs` gave, if the server was asked.

        Raises:
            CsrAttributesError: the wishes cannot be met, or contradict the specification.
            LocalProtocolError: they demand a binding to the connection, or a password.
            KeyStoreError: the key could not sign.
        """
        return self._request(Operation.SIMPLE_ENROLL, self._csr(Operation.SIMPLE_ENROLL, key, spec, wishes))

    def renewal_request(
        self,
        key: PrivateKey,
        certificate: x509.Certificate,
        extra: CsrSpec | None = None,
        *,
        wishes: CsrAttributes | None = None,
    ) -> OfflineRequest:
        """POST /simplereenroll; subject and names are those of the certificate (EST-150), whatever the wishes say.

        Raises:
            CsrAttributesError, LocalProtocolError, KeyStoreError: as for `enrolment_request`.
        """
        operation, spec = Operation.SIMPLE_REENROLL, renewal_spec(certificate, extra)

        def check(csr: x509.CertificateSigningRequest) -> None:
            require_same_identity(csr, certificate)

        return self._request(operation, self._csr(operation, key, spec, renewal_wishes(wishes), check))

    def read_cacerts(
        self, answer: bytes, *, pins: Sequence[Pin] = (), anchors: Sequence[x509.Certificate] = ()
    ) -> CaCertificates:
        """The CA certificates of a saved answer, accepted by a pin, or by anchors that are there already (EST-117).

        Raises:
            ConfigurationError: neither pins nor anchors: being in a file proves nothing (EST-45).
            FingerprintMismatchError: no CA certificate fits a pin.
            VerificationError: none has to do with the anchors: it is the answer of another CA.
            ClockError: the clock is before the accepted anchor's notBefore.
            HttpStatusError, RemoteProtocolError, TruncatedResponseError: the answer is none.
        """
        if bool(pins) == bool(anchors):
            raise ConfigurationError(
                "an answer from a file proves nothing: give fingerprints or trust anchors, not both"
            )
        url, now = self._endpoint.url(Operation.CACERTS), self._clock.now()
        bag = read_cacerts(saved(answer, url, now), now)
        trusted = tuple(anchors) or pinned_anchors(bag, pins)
        if not trusted:
            seen = fingerprints(bag)
            raise FingerprintMismatchError(
                f"{url}: no CA certificate has a pinned fingerprint; seen: {', '.join(seen[:5])}", url=url, seen=seen
            )
        require_current(trusted, now)
        found = check_ca_certificates(bag, trusted, now, url=url)
        if not {*found.anchors, *found.intermediates, *trusted} & set(bag):
            names = ", ".join(name_of(one) for one in bag[:3])
            raise VerificationError(
                f"{url}: no CA certificate of the answer is an anchor, or leads to one: {names}",
                hint="is it the answer of this server? If its CA is a new one, accept that by --pin",
                url=url,
            )
        return found

    def read_csrattrs(self, answer: bytes) -> CsrAttributes:
        """What the server wants in a request; nobody signs that, and who carried it may have changed it.

        Raises:
            HttpStatusError, RemoteProtocolError, TruncatedResponseError: the answer is none.
        """
        url = self._endpoint.url(Operation.CSRATTRS)
        now = self._clock.now()
        return read_csrattrs(saved(answer, url, now), now)

    def read_enrolment(
        self,
        answer: bytes,
        key: PrivateKey,
        spec: CsrSpec | x509.Certificate,
        *,
        anchors: Sequence[x509.Certificate],
        renewal: bool = False,
        wishes: CsrAttributes | None = None,
    ) -> Enrolled:
        """The certificate of a saved answer, if it is the one for this key (EST-138, EST-139).

        Args:
            answer: the file.
            key: the one that was to be certified; it signs once, to find differences from what was asked for.
            spec: what was asked for; the certificate that was to be renewed.
            anchors: the Explicit trust anchors, and CA certificates below them if there are any.
            renewal: the request was one of /simplereenroll.
            wishes: what the request was made with.

        Raises:
            EnrolmentPendingError: the answer is a 202: the request has to be carried there again.
            CertificateMismatchError: it is for another key (the answer to another request), expired, or leads to no
                anchor.
            ClockError: the certificate is not valid yet; the error has it.
            HttpStatusError, RemoteProtocolError, TruncatedResponseError: the answer is none.
        """
        operation = Operation.SIMPLE_REENROLL if renewal else Operation.SIMPLE_ENROLL
        url, now = self._endpoint.url(operation), self._clock.now()
        response = decided(saved(answer, url, now), now)
        found = read_enrolment(response, now)
        if isinstance(found, Pending):  # not reached: `decided` raises
            raise LocalProtocolError("a pending answer was taken for a decided one")
        renews = spec if isinstance(spec, x509.Certificate) else None
        asked = renewal_spec(spec) if isinstance(spec, x509.Certificate) else spec
        wishes = renewal_wishes(wishes) if renewal else wishes
        csr = self._csr(operation, key, asked, wishes.without_challenges() if wishes else None).csr
        new = only_new(found, csr, renews, url=url)
        return check_issued(new, csr, anchors=roots_of(anchors), intermediates=anchors, now=now, url=url)

    def server_key_request(
        self,
        spec: CsrSpec,
        signer: PrivateKey | None = None,
        *,
        decrypt: ProtectionKey | None = None,
        allow_clear: bool = False,
        key_type: KeyType | None = None,
        forms: ServerKeyForms | None = None,
        wishes: CsrAttributes | None = None,
    ) -> OfflineRequest:
        """POST /serverkeygen; the arguments are those of EstClient.serverkeygen.

        With `allow_clear` whoever carries the answer can read the key, as no TLS connection reaches to the device, and
        nothing binds the answer to this request; with `decrypt` nobody else can.

        Raises:
            ConfigurationError: not exactly one of `decrypt`, `allow_clear` and PKCS#12.
            CsrAttributesError, LocalProtocolError, KeyStoreError: as for `enrolment_request`.
        """
        from device_sdk.client.est.server_key import RFC_7030, keyless, require_protection
        from device_sdk.protocols.est.server_key_answer import PKCS12

        forms = forms or RFC_7030
        require_protection(decrypt, allow_clear=allow_clear, pkcs12=forms.pkcs12)
        operation = Operation.SERVERKEYGEN
        url = self._endpoint.url(operation)
        key, spec, wishes = keyless(
            spec, signer, key_type, wishes, protection=decrypt, url=url, announce=forms.announce
        )
        body = self._csr(operation, key, spec, wishes)(NO_CONNECTION)
        accept = PKCS12 if forms.pkcs12 else None
        return offline_request(self._endpoint, operation, self._clock.now(), body=body, accept=accept)

    def read_server_key(
        self,
        answer: bytes,
        spec: CsrSpec,
        *,
        anchors: Sequence[x509.Certificate],
        decrypt: ProtectionKey | None = None,
        allow_clear: bool = False,
        allow_other_name: bool = False,
        forms: ServerKeyForms | None = None,
        wishes: CsrAttributes | None = None,
    ) -> ServerKey:
        """The key and the certificate of a saved answer, checked as EstClient.serverkeygen does.

        Nothing of the protocol binds such an answer to its request. Over TLS it comes on the connection of that; here the
        names are all that tells it from the answer to another one, so they have to be those that were asked for.

        Args:
            answer: the file; a body that was saved without its head is read, too.
            spec: what was asked for, to find differences.
            anchors: the Explicit trust anchors, and CA certificates below them if there are any. There is no server's TLS
                certificate here that could have signed an encrypted key.
            decrypt: what the request named; a clear key is refused then (EST-197).
            allow_clear: the key may be in the clear.
            allow_other_name: the certificate may have another subject, and other alternative names, as of servers that
                choose the names themselves.
            forms: what else the answer may be; nothing goes back to the server from here.
            wishes: what the request was made with.

        Raises:
            ConfigurationError: not exactly one of `decrypt`, `allow_clear` and PKCS#12.
            EnrolmentPendingError: the answer is a 202.
            ServerKeyError, EnvelopeError, VerificationError, CertificateMismatchError, ClockError: as for
                EstClient.serverkeygen.
            HttpStatusError, RemoteProtocolError, TruncatedResponseError: the answer is none.
        """
        from device_sdk.client.est.server_key import RFC_7030, keyless, require_protection
        from device_sdk.protocols.est.server_key import Judgement, check_server_key
        from device_sdk.protocols.est.server_key_answer import read_server_key

        forms = forms or RFC_7030
        require_protection(decrypt, allow_clear=allow_clear, pkcs12=forms.pkcs12)
        operation, now = Operation.SERVERKEYGEN, self._clock.now()
        url = self._endpoint.url(operation)
        response = as_message(as_multipart(decided(saved(answer, url, now), now)), forms.media_types)
        found = read_server_key(response, now, accepted=forms.media_types)
        judgement = Judgement(
            roots_of(anchors),
            anchors,
            now,
            url,
            same_names=not allow_other_name,
            packages=forms.rules(now),
            pkcs12=forms.pkcs12,
        )
        # the request's key is not the one to certify, so any will do to compare
        asked = wishes.without_challenges() if wishes else None
        key, spec, asked = keyless(spec, None, KeyType.EC_P256, asked, protection=decrypt, url=url)
        csr = self._csr(operation, key, spec, asked).csr
        return check_server_key(found, csr, decrypt, judgement)

    @property
    def fullcmc(self) -> OfflineFullCmc:
        """Full CMC (RFC 7030 section 4.3): enrol, renew, revoke and ask again by messages with proofs of their own."""
        from device_sdk.client.est.offline_full_cmc import OfflineFullCmc

        return OfflineFullCmc(self._endpoint, self._clock)

    def _csr(
        self,
        operation: Operation,
        key: PrivateKey,
        spec: CsrSpec,
        wishes: CsrAttributes | None,
        check: CsrCheck | None = None,
    ) -> CsrBody:
        return unbound_csr(self._endpoint, operation, key, spec, wishes, check=check)

    def _request(self, operation: Operation, csr: CsrBody) -> OfflineRequest:
        now, body = self._clock.now(), csr(NO_CONNECTION)
        return offline_request(self._endpoint, operation, now, body=body, spki=spki_of(csr.csr))
