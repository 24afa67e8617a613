"""The EST client: EstClient, and bootstrap for the first trust."""

from __future__ import annotations

from device_sdk.client.est.bootstrap import bootstrap, bootstrap_client
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
