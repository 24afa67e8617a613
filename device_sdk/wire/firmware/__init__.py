"""Firmware packages (RFC 4108): verified and unpacked from a file in two passes with little memory, and reports about them."""

from __future__ import annotations

from device_sdk.wire.firmware.attributes import FirmwareAttributes
from device_sdk.wire.firmware.codes import LoadErrorCode, refused
from device_sdk.wire.firmware.communities import is_member
from device_sdk.wire.firmware.names import LegacyName, PackageName, PreferredName
from device_sdk.wire.firmware.receipts import LoadError, LoadReceipt, read_error, read_receipt
from device_sdk.wire.firmware.unpacking import MAX_IMAGE_BYTES, Unpacked, unpack_package
from device_sdk.wire.firmware.verification import MAX_PACKAGE_BYTES, FirmwarePackage, verify_package

__all__ = [
    "MAX_IMAGE_BYTES",
    "MAX_PACKAGE_BYTES",
    "FirmwareAttributes",
    "FirmwarePackage",
    "LegacyName",
    "LoadError",
    "LoadErrorCode",
    "LoadReceipt",
    "PackageName",
    "PreferredName",
    "Unpacked",
    "is_member",
    "read_error",
    "read_receipt",
    "refused",
    "unpack_package",
    "verify_package",
]
