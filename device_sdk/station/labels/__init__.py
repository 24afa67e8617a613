"""Labels that go onto devices: serial number and certificate, for people and, as QR code, for scanners."""

from __future__ import annotations

from device_sdk.station.labels.drawing import html, png, svg
from device_sdk.station.labels.label import Label
from device_sdk.station.labels.zpl import zpl

__all__ = ["Label", "html", "png", "svg", "zpl"]
