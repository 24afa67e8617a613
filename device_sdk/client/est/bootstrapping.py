"""The first trust in a server, by the fingerprint of its CA (RFC 7030 section 4.1.1, EST-70 to EST-78)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from cryptography import x509

from device_sdk.client.est.client import EstClient
from device_sdk.client.est.clock import Clock
from device_sdk.client.est.connections import Connections
from device_sdk.client.est.exchange import Exchanges
from device_sdk.client.est.patience import Patience, Progress
from device_sdk.errors import ConfigurationError, FingerprintMismatchError
from device_sdk.model.compatibility import STANDARD, Compatibility
from device_sdk.model.credentials import Credentials
from device_sdk.model.trust import Pin, ServerTrust, TlsIdentity
from device_sdk.protocols.est.backoff import RetryPolicy
from device_sdk.protocols.est.ca_certificates import CaCertificates, usable_roots
from device_sdk.protocols.est.pinning import fingerprints, pinned_anchors, require_current
from device_sdk.protocols.est.redirects import RedirectRule
from device_sdk.protocols.est.requests import cacerts_request
from device_sdk.protocols.est.responses import read_cacerts
from device_sdk.protocols.est.urls import Operation, parse_est_url
from device_sdk.transports.base import Timeouts, Transport
from device_sdk.transports.factory import open_provisional_transport

Confirm: TypeAlias = Callable[[x509.Certificate], bool]
"""Asked about a root certificate the server showed; compares it with out-of-band data, or asks a person to."""


def bootstrap(  # noqa: PLR0913  # every argument but the first two has a default
    url: str,
    pins: Sequence[Pin],
    *,
    label: str | None = None,
    timeouts: Timeouts | None = None,
    proxy: str | None = None,
    confirm: Confirm | None = None,
    clock: Clock | None = None,
    compatibility: Compatibility = STANDARD,
    retry: RetryPolicy | None = None,
    wait_s: float | None = None,
    progress: Progress | None = None,
) -> CaCertificates:
    """Fetch the CA certificates from a server nobody vouches for yet, and accept those with a pinned fingerprint.

    The unauthenticated connection carries GET /cacerts and nothing else: no client certificate, no credentials, no
    redirect (EST-72 to EST-74). The same server then has to validate against the accepted anchors on a new connection,
    and the CA certificates that are returned come from that one (EST-77).

    Args:
        url: the service; see device_sdk.protocols.est.urls.parse_est_url for the forms.
        pins: fingerprints of the CA certificate or its key; one that fits is enough.
        label: CA label, unless the URL holds it.
        timeouts: limits of one exchange.
        proxy: as for EstClient.
        confirm: asked about each root when there are no pins.
        clock: the time.
        compatibility: as for EstClient.
        retry: as for EstClient.
        wait_s: total seconds to wait while the server is overloaded (429, 503), for both connections; None does not wait.
        progress: told before each wait.

    Raises:
        ConfigurationError: neither pins nor `confirm`.
        FingerprintMismatchError: no CA certificate fits a pin, or none was confirmed.
        ClockError: the clock is before the accepted anchor's notBefore.
        ServerNotTrustedError, ServerNotAuthorizedError: the server does not validate with the accepted anchors.
        RemoteProtocolError, TransportError: see EstClient.cacerts.
    """
    clock = clock or Clock()
    patience = Patience(clock, wait_s)
    with bootstrap_client(
        url,
        pins,
        label=label,
        timeouts=timeouts,
        proxy=proxy,
        confirm=confirm,
        clock=clock,
        compatibility=compatibility,
        retry=retry,
        wait_s=wait_s,
        progress=progress,
    ) as client:
        return client.cacerts(wait_s=patience.left_s(), progress=progress)


def bootstrap_client(  # noqa: PLR0913  # every argument but the first two has a default
    url: str,
    pins: Sequence[Pin],
    *,
    label: str | None = None,
    identity: TlsIdentity | None = None,
    credentials: Credentials | None = None,
    timeouts: Timeouts | None = None,
    proxy: str | None = None,
    confirm: Confirm | None = None,
    clock: Clock | None = None,
    compatibility: Compatibility = STANDARD,
    redirects: RedirectRule | None = None,
    retry: RetryPolicy | None = None,
    wait_s: float | None = None,
    progress: Progress | None = None,
) -> EstClient:
    """A client that trusts what bootstrap accepted and nothing else; see `bootstrap` for the rest.

    It has no connection yet: its first operation opens one, on which the server has to validate (EST-77), and the
    enrolment can follow on the same one. Nothing should be stored before that first operation succeeded.

    Args:
        url: as for `bootstrap`.
        pins: as for `bootstrap`.
        label: as for `bootstrap`.
        identity: for the client; not used before the server is authenticated (EST-74).
        credentials: for the client; likewise (EST-72).
        timeouts: limits of one exchange.
        proxy: proxy URL, or None.
        confirm: as for `bootstrap`.
        clock: the time.
        compatibility: as for EstClient.
        redirects: for the client; the unauthenticated connection follows none (EST-73).
        retry: as for EstClient.
        wait_s: total seconds to wait while the server is overloaded, on the unauthenticated connection; None does not wait.
        progress: told before each of these waits.

    Raises:
        DeviceSdkError: as for `bootstrap`, but for what the second connection would show.
    """
    if not pins and confirm is None:
        raise ConfigurationError("bootstrap needs a fingerprint, or somebody who confirms the CA certificate")
    clock = clock or Clock()
    endpoint = parse_est_url(url, label, compatibility.dialect)

    def connect(origin: str, *, show_identity: bool) -> Transport:
        highest = compatibility.highest_tls_version
        return open_provisional_transport(origin, timeouts=timeouts or Timeouts(), proxy=proxy, max_tls_version=highest)

    exchanges = Exchanges(Connections(endpoint.origin, connect), clock, policy=retry, follow=False)
    try:
        response = exchanges.send(cacerts_request(endpoint), Patience(clock, wait_s, progress))
    finally:
        exchanges.close()
    bag = read_cacerts(response, clock.now())
    accepted = _accepted(bag, pins, confirm, clock)
    if not accepted:
        seen = fingerprints(bag)
        why = "no CA certificate has a pinned fingerprint" if pins else "no CA certificate was confirmed"
        raise FingerprintMismatchError(
            f"{endpoint.url(Operation.CACERTS)}: {why}; seen: {', '.join(seen[:5])}",
            hint="compare the fingerprints with those your CA publishes; nothing but this request was sent",
            url=endpoint.url(Operation.CACERTS),
            seen=seen,
        )
    require_current(accepted, clock.now())
    trust = ServerTrust(explicit=accepted)
    return EstClient(
        endpoint.origin,
        trust,
        label=endpoint.label,
        identity=identity,
        credentials=credentials,
        timeouts=timeouts,
        proxy=proxy,
        clock=clock,
        compatibility=compatibility,
        redirects=redirects,
        retry=retry,
    )


def _accepted(
    bag: Sequence[x509.Certificate], pins: Sequence[Pin], confirm: Confirm | None, clock: Clock
) -> tuple[x509.Certificate, ...]:
    if pins or confirm is None:
        return pinned_anchors(bag, pins)
    return tuple(root for root in usable_roots(bag, clock.now()) if confirm(root))
