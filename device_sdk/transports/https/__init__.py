"""HTTPS whose client key may live in a token or TPM: the SDK's transport, and the same for programs that use requests.

`HttpsTransport` and `ProvisionalTransport` carry the SDK's own requests. `client_ssl_context` and `HardwareTlsAdapter`
give any program the same TLS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_sdk.transports.https.provisional import ProvisionalTransport
from device_sdk.transports.https.tls import client_ssl_context
from device_sdk.transports.https.transport import HttpsTransport

if TYPE_CHECKING:
    from device_sdk.transports.https.adapter import HardwareTlsAdapter

__all__ = ["HardwareTlsAdapter", "HttpsTransport", "ProvisionalTransport", "client_ssl_context"]


def __getattr__(name: str) -> Any:
    # requests is twice as heavy as urllib3, and the transports do without it.
    if name == "HardwareTlsAdapter":
        from device_sdk.transports.https.adapter import HardwareTlsAdapter

        return HardwareTlsAdapter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
