"""The station page: benches live, history, failures. It reads the ledger and writes nothing."""

from __future__ import annotations

from device_sdk.station.web.access import Access
from device_sdk.station.web.app import make_app
from device_sdk.station.web.serving import PageServer

__all__ = ["Access", "PageServer", "make_app"]
