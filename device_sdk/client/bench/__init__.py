"""One device at the end of one serial line, whichever way it is talked to."""

from __future__ import annotations

from device_sdk.client.bench.base import BenchDevice
from device_sdk.client.bench.facts import BenchKey, DeviceFacts, KeyWish, Proof

__all__ = ["BenchDevice", "BenchKey", "DeviceFacts", "KeyWish", "Proof"]
