"""Serial lines: ttys, ptys and whatever else pyserial reaches by URL."""

from __future__ import annotations

from device_sdk.transports.serial.hidden import Hidden
from device_sdk.transports.serial.line import Line, check_line, open_line
from device_sdk.transports.serial.settings import LineSettings

__all__ = ["Hidden", "Line", "LineSettings", "check_line", "open_line"]
