"""EST without a network: make the request now, read the answer later; the checks are those of EstClient."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.client.est.clock import Clock
from device_sdk.client.est.renewal import renewal_spec, require_same_identity
from device_sdk.errors import ConfigurationError, EnrolmentPendingError, FingerprintMismatchError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import PrivateKey
from device_sdk.model.trust import Pin
from device_sdk.protocols.est.ca_certificates import CaCertificates, check_ca_certificates
from device_sdk.protocols.est.issued import Enrolled, check_issued
from device_sdk.protocols.est.offline import OfflineRequest, offline_request, read_saved_answer
from device_sdk.protocols.est.pinning import fingerprints, pinned_anchors, require_current
from device_sdk.protocols.est.renewed import only_new
from device_sdk.protocols.est.responses import Pending, read_cacerts, read_enrolment
from device_sdk.protocols.est.urls import Operation, parse_est_url
from device_sdk.wire.csr import build_csr
from device_sdk.wire.path import is_self_signed
from device_sdk.wire.transfer import encode_body


class OfflineEst:
    """The requests to one EST service, and what becomes of its answers, carried by hand.

    Two things are not what they are online. Requests are bound to no connection, so a server that demands the binding
    refuses them. And no TLS connection shows who answered: the CA certificates count by pin or anchors, the issued
    certificate by the key and the anchors it leads to, and who carried them does not matter.

    Args:
        url: the service; see device_sdk.protocols.est.urls.parse_est_url for the forms.
        label: CA label, unless the URL holds it.
        clock: the time.
    """

    def __init__(self, url: str, *, label: str | None = None, clock: Clock | None = None) -> None:
        self._endpoint = parse_est_url(url, label)
        self._clock = clock or Clock()

    def cacerts_request(self) -> OfflineRequest:
        """GET /cacerts."""
        return offline_request(self._endpoint, Operation.CACERTS, self._clock.now())

    def enrolment_request(self, key: PrivateKey, spec: CsrSpec) -> OfflineRequest:
        """POST /simpleenroll for a key; it signs the request.

        Raises:
            KeyStoreError: the key could not sign.
        """
        return self._request(Operation.SIMPLE_ENROLL, build_csr(spec, key))

    def renewal_request(
        self, key: PrivateKey, certificate: x509.Certificate, extra: CsrSpec | None = None
    ) -> OfflineRequest:
        """POST /simplereenroll; subject and names are those of the certificate (EST-150).

        Raises:
            KeyStoreError: the key could not sign.
        """
        der = build_csr(renewal_spec(certificate, extra), key)
        require_same_identity(x509.load_der_x509_csr(der), certificate)
        return self._request(Operation.SIMPLE_REENROLL, der)

    def read_cacerts(
        self, answer: bytes, *, pins: Sequence[Pin] = (), anchors: Sequence[x509.Certificate] = ()
    ) -> CaCertificates:
        """The CA certificates of a saved answer, accepted by a pin, or by anchors that are there already (EST-117).

        Raises:
            ConfigurationError: neither pins nor anchors: being in a file proves nothing (EST-45).
            FingerprintMismatchError: no CA certificate fits a pin.
            ClockError: the clock is before the accepted anchor's notBefore.
            HttpStatusError, RemoteProtocolError, TruncatedResponseError: the answer is none.
        """
        if bool(pins) == bool(anchors):
            raise ConfigurationError(
                "an answer from a file proves nothing: give fingerprints or trust anchors, not both"
            )
        url, now = self._endpoint.url(Operation.CACERTS), self._clock.now()
        bag = read_cacerts(read_saved_answer(answer, url), now)
        trusted = tuple(anchors) or pinned_anchors(bag, pins)
        if not trusted:
            seen = fingerprints(bag)
            raise FingerprintMismatchError(
                f"{url}: no CA certificate has a pinned fingerprint; seen: {', '.join(seen[:5])}", url=url, seen=seen
            )
        require_current(trusted, now)
        return check_ca_certificates(bag, trusted, now, url=url)

    def read_enrolment(
        self,
        answer: bytes,
        key: PrivateKey,
        spec: CsrSpec | x509.Certificate,
        *,
        anchors: Sequence[x509.Certificate],
        renewal: bool = False,
    ) -> Enrolled:
        """The certificate of a saved answer, if it is the one for this key (EST-138, EST-139).

        Args:
            answer: the file.
            key: the one that was to be certified; it signs once, to find differences from what was asked for.
            spec: what was asked for; the certificate that was to be renewed.
            anchors: the Explicit trust anchors, and CA certificates below them if there are any.
            renewal: the request was one of /simplereenroll.

        Raises:
            EnrolmentPendingError: the answer is a 202: the request has to be carried there again.
            CertificateMismatchError: it is for another key (the answer to another request), expired, or leads to no
                anchor.
            ClockError: the certificate is not valid yet; the error has it.
            HttpStatusError, RemoteProtocolError, TruncatedResponseError: the answer is none.
        """
        operation = Operation.SIMPLE_REENROLL if renewal else Operation.SIMPLE_ENROLL
        url, now = self._endpoint.url(operation), self._clock.now()
        found = read_enrolment(read_saved_answer(answer, url), now)
        if isinstance(found, Pending):
            raise EnrolmentPendingError(
                f"{url}: the request was accepted and is not decided yet",
                hint="carry the same request to the server again",
                url=url,
                retry_after_s=found.retry_after_s,
            )
        roots = tuple(anchor for anchor in anchors if is_self_signed(anchor)) or tuple(anchors)
        renews = spec if isinstance(spec, x509.Certificate) else None
        asked = renewal_spec(spec) if isinstance(spec, x509.Certificate) else spec
        csr = x509.load_der_x509_csr(build_csr(asked, key))
        new = only_new(found, csr, renews, url=url)
        return check_issued(new, csr, anchors=roots, intermediates=anchors, now=now, url=url)

    def _request(self, operation: Operation, der: bytes) -> OfflineRequest:
        public_key = x509.load_der_x509_csr(der).public_key()
        spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return offline_request(self._endpoint, operation, self._clock.now(), body=encode_body(der), spki=spki)
