"""The agent on a device: what a station asks over a line, done here (docs/serial-protocol.md).

`Agent(line, Desk(device, ...)).run()` serves a line until the station says goodbye, or for ever. `device` has the operations of
`device_sdk.client.device.bench.DeviceBench`.
"""

from __future__ import annotations

from device_sdk.client.agent.agent import Agent
from device_sdk.client.agent.answers import AnswerBook
from device_sdk.client.agent.desk import Desk

__all__ = ["Agent", "AnswerBook", "Desk"]
