"""Firmware by EST (RFC 8295 section 6): what may be loaded, what is remembered of it, what the server is told."""

from __future__ import annotations

from device_sdk.protocols.firmware.policy import FirmwarePolicy, HardwareModule
from device_sdk.protocols.firmware.record import (
    MAX_SUPERSEDED,
    Binding,
    FirmwareRecord,
    InstalledPackage,
    PendingPackage,
    authenticated,
    encode_record,
    pending_of,
    read_binding,
    read_record,
)
from device_sdk.protocols.firmware.reports import error_for, receipt_for, require_own, signed_report
from device_sdk.protocols.firmware.requests import firmware_request, has_firmware

__all__ = [
    "MAX_SUPERSEDED",
    "Binding",
    "FirmwarePolicy",
    "FirmwareRecord",
    "HardwareModule",
    "InstalledPackage",
    "PendingPackage",
    "authenticated",
    "encode_record",
    "error_for",
    "firmware_request",
    "has_firmware",
    "pending_of",
    "read_binding",
    "read_record",
    "receipt_for",
    "require_own",
    "signed_report",
]
