"""Doing what the server's package list asks for (RFC 8295)."""

from __future__ import annotations

from device_sdk.client.device.sync.deliveries import (
    Deliveries,
    FirmwareDelivery,
    GeneratedDelivery,
    KeyDelivery,
    KeyEstablishmentDelivery,
)
from device_sdk.client.device.sync.report import StepResult, StepState, SyncReport
from device_sdk.client.device.sync.run import Sync

__all__ = [
    "Deliveries",
    "FirmwareDelivery",
    "GeneratedDelivery",
    "KeyDelivery",
    "KeyEstablishmentDelivery",
    "StepResult",
    "StepState",
    "Sync",
    "SyncReport",
]
