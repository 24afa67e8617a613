"""The EST client: EstClient, and bootstrap for the first trust.

The names are imported on first use, so that who needs the clock does not import enrolment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_sdk._lazy import on_first_use

if TYPE_CHECKING:
    from device_sdk.client.est.bootstrapping import bootstrap, bootstrap_client
    from device_sdk.client.est.client import EstClient
    from device_sdk.client.est.clock import Clock
    from device_sdk.client.est.offline import OfflineEst
    from device_sdk.model.compatibility import Compatibility
    from device_sdk.model.credentials import Credentials
    from device_sdk.model.shared_key import SharedKey
    from device_sdk.protocols.est.backoff import RetryPolicy
    from device_sdk.protocols.est.ca_certificates import CaCertificates, Ignored
    from device_sdk.protocols.est.issued import Enrolled
    from device_sdk.protocols.est.responses import Pending
    from device_sdk.protocols.est.server_key import ServerKey
    from device_sdk.protocols.est.server_key_request import DecryptionKey

_HOMES = {
    "CaCertificates": "device_sdk.protocols.est.ca_certificates",
    "Clock": "device_sdk.client.est.clock",
    "Compatibility": "device_sdk.model.compatibility",
    "Credentials": "device_sdk.model.credentials",
    "DecryptionKey": "device_sdk.protocols.est.server_key_request",
    "Enrolled": "device_sdk.protocols.est.issued",
    "EstClient": "device_sdk.client.est.client",
    "Ignored": "device_sdk.protocols.est.ca_certificates",
    "OfflineEst": "device_sdk.client.est.offline",
    "Pending": "device_sdk.protocols.est.responses",
    "RetryPolicy": "device_sdk.protocols.est.backoff",
    "ServerKey": "device_sdk.protocols.est.server_key",
    "SharedKey": "device_sdk.model.shared_key",
    "bootstrap": "device_sdk.client.est.bootstrapping",
    "bootstrap_client": "device_sdk.client.est.bootstrapping",
}

__all__ = [
    "CaCertificates",
    "Clock",
    "Compatibility",
    "Credentials",
    "DecryptionKey",
    "Enrolled",
    "EstClient",
    "Ignored",
    "OfflineEst",
    "Pending",
    "RetryPolicy",
    "ServerKey",
    "SharedKey",
    "bootstrap",
    "bootstrap_client",
]

__getattr__ = on_first_use(__name__, _HOMES)
