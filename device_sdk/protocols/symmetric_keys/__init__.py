"""/symmetrickeys and its return path (RFC 8295 section 5)."""

from device_sdk.protocols.key_packages.layers import Layer, PackageRules, Trace
from device_sdk.protocols.symmetric_keys.keys import KeyRules, usable_keys
from device_sdk.protocols.symmetric_keys.layers import PeeledPackage, peel

__all__ = ["KeyRules", "Layer", "PackageRules", "PeeledPackage", "Trace", "peel", "usable_keys"]
