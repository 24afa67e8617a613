"""Devices at their consoles: a Linux shell behind a login prompt, and a boot loader before it."""

from __future__ import annotations

from device_sdk.client.bench.console.device import ConsoleDevice
from device_sdk.client.bench.console.settings import ConsoleSettings

__all__ = ["ConsoleDevice", "ConsoleSettings"]
