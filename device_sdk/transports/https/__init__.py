"""HTTPS whose client key may live in a token or TPM: the SDK's transport, and the same for programs that use requests.

`HttpsTransport` and `ProvisionalTransport` carry the SDK's own requests. `client_ssl_context` and `HardwareTlsAdapter`
give any program the same TLS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_sdk._lazy import on_first_use
from device_sdk.transports.https.provisional import ProvisionalTransport
from device_sdk.transports.https.tls import client_ssl_context
from device_sdk.transports.https.transport import HttpsTransport

if TYPE_CHECKING:
    from device_sdk.transports.https.adapter import HardwareTlsAdapter

__all__ = ["HardwareTlsAdapter", "HttpsTransport", "ProvisionalTransport", "client_ssl_context"]

# requests is twice as heavy as urllib3, and the transports do without it.
__getattr__ = on_first_use(__name__, {"HardwareTlsAdapter": "device_sdk.transports.https.adapter"})
