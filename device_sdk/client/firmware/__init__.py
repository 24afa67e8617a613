"""Firmware from an EST server (RFC 8295 section 6, RFC 4108): fetched, verified, installed, remembered, reported."""

from __future__ import annotations

from device_sdk.client.firmware.download import Transferred
from device_sdk.client.firmware.installers import INSTALLER_S, CommandInstaller, FileInstaller, Installer
from device_sdk.client.firmware.loading import MIN_RATE, FirmwareRules, load
from device_sdk.client.firmware.operation import Firmware, InstalledFirmware
from device_sdk.client.firmware.record_file import RecordFile
from device_sdk.protocols.firmware import FirmwarePolicy, HardwareModule

__all__ = [
    "INSTALLER_S",
    "MIN_RATE",
    "CommandInstaller",
    "FileInstaller",
    "Firmware",
    "FirmwarePolicy",
    "FirmwareRules",
    "HardwareModule",
    "InstalledFirmware",
    "Installer",
    "RecordFile",
    "Transferred",
    "load",
]
