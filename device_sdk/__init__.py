"""Hardware-held device identity: keys in tokens and TPMs, certificates by EST, encrypted answers by CALE.

The public names are imported on first use (PEP 562), so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from device_sdk._version import __version__

if TYPE_CHECKING:
    from device_sdk.errors import DeviceSdkError
    from device_sdk.keystores.registry import (
        create_key,
        delete_key,
        list_keys,
        load_certificate,
        open_key,
        probe,
        store_certificate,
    )
    from device_sdk.model.keys import KeyType
    from device_sdk.model.secret import Secret

_HOMES = {
    "DeviceSdkError": "device_sdk.errors",
    "KeyType": "device_sdk.model.keys",
    "Secret": "device_sdk.model.secret",
    "create_key": "device_sdk.keystores.registry",
    "delete_key": "device_sdk.keystores.registry",
    "list_keys": "device_sdk.keystores.registry",
    "load_certificate": "device_sdk.keystores.registry",
    "open_key": "device_sdk.keystores.registry",
    "probe": "device_sdk.keystores.registry",
    "store_certificate": "device_sdk.keystores.registry",
}

__all__ = [
    "DeviceSdkError",
    "KeyType",
    "Secret",
    "__version__",
    "create_key",
    "delete_key",
    "list_keys",
    "load_certificate",
    "open_key",
    "probe",
    "store_certificate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'device_sdk' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
