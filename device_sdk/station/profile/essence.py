"""What of a profile a device is made and judged by: changed in the middle, it makes another device."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_HOW = ("lines", "talk", "limits")
_HOW_LONG = ("timeout_s", "wait_s", "known")
_TEXT = ("config", "config_file")
_PLACES = ("certificates_dir",)


def essence(values: Mapping[str, Any], config: Mapping[str, Any] | None) -> str:
    """A digest of everything in a profile but how devices are reached, how long things take, and what known ones are done to.

    Args:
        values: the profile, as TOML says it.
        config: the devices' configuration, wherever it stands.
    """
    said = {name: _without_times(value) for name, value in values.items() if name not in _HOW}
    text = json.dumps([said, config], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def essence_but_places(values: Mapping[str, Any], config: Mapping[str, Any] | None) -> str:
    """The same without where devices keep what they are issued: a device that could keep nothing there is none the worse for it.

    Args:
        values: as above.
        config: likewise.
    """
    device = {name: value for name, value in values.get("device", {}).items() if name not in _TEXT}
    kept = None if config is None else {name: value for name, value in config.items() if name not in _PLACES}
    return essence({**values, "device": device}, kept)


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(one) for name, one in value.items() if name not in _HOW_LONG}
    return [_without_times(one) for one in value] if isinstance(value, list) else value
