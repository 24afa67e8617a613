"""Device nodes: the TPM's, those of USB tokens, and serial lines."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from device_sdk.client.doctor_hardware import Verdict
from device_sdk.errors import ConfigurationError
from device_sdk.identity.roots import Roots, read_fact

_SERIAL = ("ttyUSB*", "ttyACM*", "ttyS[0-9]*", "ttyAMA*", "ttymxc*", "ttySTM*", "ttyPS*")
# USB-IF class codes of an interface: smart-card reader, and vendor-specific as many tokens have it
_TOKENS = {"0b": "smart-card reader or token"}
_VENDORS = {"1050": "Yubico", "20a0": "Nitrokey", "04e6": "Identiv", "08e6": "Thales", "0973": "Giesecke+Devrient"}


def tpm_driver(roots: Roots) -> Verdict:
    """Which TPM the kernel found, by which driver, of which version, and how it is attached."""
    found = roots.sys / "class" / "tpm" / "tpm0"
    if not found.exists():
        return "skipped", "the kernel has found no TPM", "hw/kernel/tpm.config; device tree or ACPI has to name it"
    words = []
    for name, path in (("version", found / "tpm_version_major"), ("as", found / "device" / "description")):
        with suppress(ConfigurationError):
            words.append(f"{name} {read_fact(path, 'TPM')}")
    with suppress(OSError):
        words.append(f"driver {(found / 'device' / 'driver').resolve(strict=True).name}")
    if "version 1" in words:
        return "failed", "the TPM is of version 1.2", "the SDK needs a TPM 2.0"
    if not (roots.sys / "class" / "tpmrm" / "tpmrm0").exists():
        return "warning", f"TPM {', '.join(words)}, without the kernel's resource manager", "Linux 4.12 or newer has it"
    return "ok", f"TPM {', '.join(words)}", None


def usb_nodes(root: Path = Path("/sys/bus/usb/devices"), nodes: Path = Path("/dev/bus/usb")) -> Verdict:
    """USB tokens and smart-card readers, and whether this user may open them."""
    tokens, closed = [], []
    for device in sorted(root.glob("*")) if root.is_dir() else []:
        name = _token(device)
        if name is None:
            continue
        tokens.append(name)
        with suppress(ConfigurationError, ValueError):
            numbers = [int(read_fact(device / part, part)) for part in ("busnum", "devnum")]
            node = nodes / f"{numbers[0]:03}" / f"{numbers[1]:03}"
            if not os.access(node, os.R_OK | os.W_OK):
                closed.append(str(node))
    if not tokens:
        return "skipped", "no USB token or smart-card reader", None
    if closed:
        return "failed", f"{', '.join(closed)} cannot be opened by this user", "hw/udev/60-device-sdk-token.rules"
    return "ok", ", ".join(tokens), None


def serial_lines(root: Path = Path("/dev")) -> Verdict:
    """Serial lines, and which of them this user may open."""
    lines = sorted({path for pattern in _SERIAL for path in root.glob(pattern)})
    if not lines:
        return "skipped", "no serial line", None
    closed = [path.name for path in lines if not os.access(path, os.R_OK | os.W_OK)]
    words = ", ".join(path.name for path in lines[:16]) + (f" and {len(lines) - 16} more" if len(lines) > 16 else "")
    if closed:
        hint = "usermod -aG dialout USER, or hw/udev/60-device-sdk-tty.rules"
        return "warning", f"{words}; not to be opened by this user: {', '.join(closed[:16])}", hint
    return "ok", words, None


def _token(device: Path) -> str | None:
    """What a USB device is, if it may hold keys."""
    vendor = product = ""
    with suppress(ConfigurationError):
        vendor, product = read_fact(device / "idVendor", "vendor"), read_fact(device / "idProduct", "product")
    if not vendor:
        return None
    for interface in device.glob("*:*/bInterfaceClass"):
        with suppress(ConfigurationError):
            kind = _TOKENS.get(read_fact(interface, "class"))
            if kind:
                return f"{_VENDORS.get(vendor, kind)} {vendor}:{product}"
    return f"{_VENDORS[vendor]} {vendor}:{product}" if vendor in _VENDORS else None
