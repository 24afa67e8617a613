"""The report of a run: what became of each device, for printing and for keeping."""

from __future__ import annotations

from device_sdk.station.report.collect import collect
from device_sdk.station.report.facts import Device, Failure, Report
from device_sdk.station.report.page import html
from device_sdk.station.report.pdf import pdf

__all__ = ["Device", "Failure", "Report", "collect", "html", "pdf"]
