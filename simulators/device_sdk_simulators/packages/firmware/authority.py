"""Who signs firmware (AMB-20)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from device_sdk_simulators.packages.authority import PackageAuthority


def firmware_authority(state: Path, now: datetime) -> PackageAuthority:
    """The CA in `firmware-ca`, made at first use.

    Args:
        state: the server's state directory.
        now: the present.
    """
    return PackageAuthority(state / "firmware-ca", "Reference Firmware CA", now)
