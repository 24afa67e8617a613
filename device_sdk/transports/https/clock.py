"""Is it the certificate that is not yet valid, or this machine's clock that is wrong?"""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
from typing import Any

from cryptography import x509

from device_sdk.errors import ClockError, DeviceSdkError
from device_sdk.transports.base import Timeouts
from device_sdk.transports.https.connection import DeviceConnection
from device_sdk.transports.https.faults import FOREIGN, NOT_YET_VALID
from device_sdk.transports.https.origin import Origin
from device_sdk.transports.https.proxy import Proxy
from device_sdk.transports.https.timed import Deadline, TimedTlsSocket
from device_sdk.transports.https.tls import harden


def unverified_context(max_tls_version: str | None = None) -> ssl.SSLContext:
    """A context that looks at no certificate and shows none; for bootstrap and for looking at dates.

    Raises:
        ConfigurationError: see harden.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = TimedTlsSocket
    harden(context, max_tls_version)
    return context


def clock_error(
    failure: ssl.SSLCertVerificationError, origin: Origin, timeouts: Timeouts, proxy: Proxy | None
) -> ClockError | None:
    """The error for a certificate that is not yet valid by this machine's clock; None for other failures.

    OpenSSL does not show the certificate it refused, so one more handshake fetches the chain; nothing is sent over it.
    """
    if failure.verify_code != NOT_YET_VALID:
        return None
    now = dt.datetime.now(dt.UTC)
    not_before = _latest_not_before(origin, timeouts, proxy)
    since = f", valid from {_rfc3339(not_before)}" if not_before else ""
    return ClockError(
        f"{origin}: the server's certificate{since}, is not yet valid; this machine's clock says {_rfc3339(now)}",
        hint="set the clock; if it is right, the server's certificate was issued for later",
        now=_rfc3339(now),
        not_before=_rfc3339(not_before) if not_before else None,
    )


def _rfc3339(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _latest_not_before(origin: Origin, timeouts: Timeouts, proxy: Proxy | None) -> dt.datetime | None:
    connection = DeviceConnection(origin, unverified_context(), timeouts, proxy=proxy)
    try:
        connection.open(Deadline(timeouts.connect_s))
        chain = _shown_chain(connection.tls)
    except (DeviceSdkError, *FOREIGN):
        return None
    finally:
        connection.close()
    dates = []
    for der in chain:
        with contextlib.suppress(ValueError):
            dates.append(x509.load_der_x509_certificate(der).not_valid_before_utc)
    return max(dates, default=None)


def _shown_chain(sock: ssl.SSLSocket) -> list[bytes]:
    public = getattr(sock, "get_unverified_chain", None)
    if public is not None:  # Python 3.13
        return list(public())
    inner: Any = sock._sslobj  # type: ignore[attr-defined]  # not in typeshed
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in inner.get_unverified_chain()]
