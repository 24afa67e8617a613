"""A real board or token, checked against what the SDK needs; the findings make a report that can be sent to its makers."""

from __future__ import annotations

from device_sdk.client.board.board import BoardDoctor

__all__ = ["BoardDoctor"]
