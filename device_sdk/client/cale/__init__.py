"""CALE for devices.

`CaleApplication` keeps a registration, `CaleClient` makes its own requests, `CaleAuth` is for programs that use requests, and
`decrypt` for files. The names are imported on first use, so that decrypting a file does not import an HTTP library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_sdk._lazy import on_first_use

if TYPE_CHECKING:
    from device_sdk.client.cale.adapter import CaleAdapter
    from device_sdk.client.cale.application import CaleApplication
    from device_sdk.client.cale.auth import CaleAuth
    from device_sdk.client.cale.client import CaleClient, CaleResponse
    from device_sdk.client.cale.files import MAX_FILE_BYTES, decrypt
    from device_sdk.client.cale.plan import CaleOutcome, CalePlan
    from device_sdk.client.cale.slots import FAILURE_SLOTS
    from device_sdk.protocols.cale.exchange import CaleExchange
    from device_sdk.protocols.cale.revocation import RevocationPolicy

_HOMES = {
    "FAILURE_SLOTS": "device_sdk.client.cale.slots",
    "CaleAdapter": "device_sdk.client.cale.adapter",
    "CaleApplication": "device_sdk.client.cale.application",
    "CaleAuth": "device_sdk.client.cale.auth",
    "CaleClient": "device_sdk.client.cale.client",
    "CaleExchange": "device_sdk.protocols.cale.exchange",
    "CaleOutcome": "device_sdk.client.cale.plan",
    "CalePlan": "device_sdk.client.cale.plan",
    "CaleResponse": "device_sdk.client.cale.client",
    "RevocationPolicy": "device_sdk.protocols.cale.revocation",
    "MAX_FILE_BYTES": "device_sdk.client.cale.files",
    "decrypt": "device_sdk.client.cale.files",
}

__all__ = [
    "FAILURE_SLOTS",
    "MAX_FILE_BYTES",
    "CaleAdapter",
    "CaleApplication",
    "CaleAuth",
    "CaleClient",
    "CaleExchange",
    "CaleOutcome",
    "CalePlan",
    "CaleResponse",
    "RevocationPolicy",
    "decrypt",
]

__getattr__ = on_first_use(__name__, _HOMES)
