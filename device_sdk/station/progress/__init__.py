"""Live progress of a run in a terminal: a row for each line, and how far the whole is."""

from __future__ import annotations

from device_sdk.station.progress.board import Board, Row
from device_sdk.station.progress.live import LiveProgress

__all__ = ["Board", "LiveProgress", "Row"]
