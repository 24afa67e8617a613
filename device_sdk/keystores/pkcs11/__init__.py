"""Keys in PKCS#11 tokens, through python-pkcs11 and, where that is not safe, the module's own functions."""

from __future__ import annotations

from device_sdk.keystores.pkcs11.modules import forget_modules
from device_sdk.keystores.pkcs11.store import Pkcs11KeyStore

__all__ = ["Pkcs11KeyStore", "forget_modules"]
