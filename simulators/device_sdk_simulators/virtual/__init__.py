"""A virtual device: QEMU without hardware help, Debian's kernel with its own TPM driver, swtpm behind it, a serial console."""

from __future__ import annotations

from device_sdk_simulators.virtual.image import Image, build
from device_sdk_simulators.virtual.machine import VirtualDevice

__all__ = ["Image", "VirtualDevice", "build"]
