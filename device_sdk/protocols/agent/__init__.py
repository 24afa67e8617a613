"""The link between a station and the agent on a device: no I/O, no clock (docs/serial-protocol.md section 3)."""

from __future__ import annotations

from device_sdk.protocols.agent.agent import AgentLink
from device_sdk.protocols.agent.events import Arrived, Closed, Event, Lost, Opened
from device_sdk.protocols.agent.station import StationLink

__all__ = ["AgentLink", "Arrived", "Closed", "Event", "Lost", "Opened", "StationLink"]
