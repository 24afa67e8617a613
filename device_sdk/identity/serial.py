"""Serial numbers the machine has: DMI, the device tree, and systemd's machine id."""

from __future__ import annotations

import hashlib
import hmac
import uuid

from device_sdk.errors import ConfigurationError
from device_sdk.identity.roots import Roots, read_fact

APPLICATION_ID = uuid.UUID("0d6b0a43-5d0e-4c6f-9a0c-7c1f6a8e52b7")
"""This SDK's own id for `machine_id`; never changes, or every device gets another name."""

DMI_FIELDS = ("product_serial", "board_serial", "chassis_serial", "product_uuid")

# What vendors leave in the firmware when they write no serial number; thousands of machines share each of these.
_PLACEHOLDERS = {
    "to be filled by o.e.m.", "default string", "system serial number", "base board serial number", "none",
    "chassis serial number", "not specified", "not applicable", "n/a", "unknown", "oem", "o.e.m.", "0123456789",
    "123456789", "invalid", "not available", "03000200-0400-0500-0006-000700080009",
}  # fmt: skip


def dmi_value(field: str = "product_serial", *, roots: Roots | None = None) -> str:
    """A serial number from SMBIOS, by way of /sys/class/dmi/id; most need root.

    Args:
        field: one of DMI_FIELDS.
        roots: where sysfs is.

    Raises:
        ConfigurationError: another field, no DMI on this machine, not readable, or a vendor's placeholder.
    """
    if field not in DMI_FIELDS:
        raise ConfigurationError(f"no DMI field {field[:40]!r}", hint=f"there are {', '.join(DMI_FIELDS)}")
    value = read_fact((roots or Roots()).sys / "class" / "dmi" / "id" / field, f"DMI {field}")
    if value.lower() in _PLACEHOLDERS or len(set(value) - set("-. ")) <= 1:
        raise ConfigurationError(f"DMI {field} holds the placeholder {value!r}, which many machines share")
    return value


def device_tree_serial(*, roots: Roots | None = None) -> str:
    """The property serial-number at the root of the device tree; the NUL byte at its end is dropped.

    Raises:
        ConfigurationError: no device tree, or no such property.
    """
    path = (roots or Roots()).proc / "device-tree" / "serial-number"
    return read_fact(path, "device-tree serial number")


def machine_id(*, application: uuid.UUID | None = APPLICATION_ID, roots: Roots | None = None) -> str:
    """An id of this installation made from /etc/machine-id, 32 hex digits.

    The machine id itself is to be kept confidential (machine-id(5)), so by default it is hashed with an application id,
    exactly as sd_id128_get_machine_app_specific(3) and `systemd-id128 machine-id --app-specific` do.

    Args:
        application: what to hash with; None for the raw machine id, which then is in every certificate.
        roots: where /etc is.

    Raises:
        ConfigurationError: no machine id, or not one.
    """
    text = read_fact((roots or Roots()).etc / "machine-id", "machine id")
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise ConfigurationError("the machine id is not 32 hex digits") from error
    if len(raw) != 16 or not any(raw):
        raise ConfigurationError("the machine id is not 32 hex digits, or all zeros")
    if application is None:
        return raw.hex()
    digest = bytearray(hmac.digest(raw, application.bytes, hashlib.sha256)[:16])
    # Made to look like a random UUID of version 4 (RFC 9562 section 5.4), as systemd does.
    digest[6] = digest[6] & 0x0F | 0x40
    digest[8] = digest[8] & 0x3F | 0x80
    return digest.hex()
