"""The EST client: EstClient, and bootstrap for the first trust."""

from __future__ import annotations

from device_sdk.client.est.bootstrap import bootstrap, bootstrap_client
from device_sdk.client.est.client import EstClient
from device_sdk.client.est.clock import Clock
from device_sdk.model.compatibility import Compatibility
from device_sdk.model.credentials import Credentials
from device_sdk.protocols.est.ca_certificates import CaCertificates, Ignored
from device_sdk.protocols.est.issued import Enrolled
from device_sdk.protocols.est.responses import Pending

__all__ = [
    "CaCertificates",
    "Clock",
    "Compatibility",
    "Credentials",
    "Enrolled",
    "EstClient",
    "Ignored",
    "Pending",
    "bootstrap",
    "bootstrap_client",
]
