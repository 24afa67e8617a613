"""The EST client: EstClient, and bootstrap for the first trust.

What an enrolment does without is imported on first use: answers carried by hand, keys of the server's making.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_sdk._lazy import on_first_use
from device_sdk.client.est.bootstrap import bootstrap, bootstrap_client
from device_sdk.client.est.client import EstClient
from device_sdk.client.est.clock import Clock
from device_sdk.model.compatibility import Compatibility
from device_sdk.model.credentials import Credentials
from device_sdk.model.shared_key import SharedKey
from device_sdk.protocols.est.backoff import RetryPolicy
from device_sdk.protocols.est.ca_certificates import CaCertificates, Ignored
from device_sdk.protocols.est.issued import Enrolled
from device_sdk.protocols.est.responses import Pending

if TYPE_CHECKING:
    from device_sdk.client.est.offline import OfflineEst
    from device_sdk.protocols.est.server_key import ServerKey
    from device_sdk.protocols.est.server_key_request import DecryptionKey

_HOMES = {
    "DecryptionKey": "device_sdk.protocols.est.server_key_request",
    "OfflineEst": "device_sdk.client.est.offline",
    "ServerKey": "device_sdk.protocols.est.server_key",
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
