"""Profiles: what a station does to devices, as a TOML file (docs/provisioning.md)."""

from __future__ import annotations

from device_sdk.station.profile.profile import MODES, Profile, load_profile
from device_sdk.station.profile.steps import Hook

__all__ = ["MODES", "Hook", "Profile", "load_profile"]
