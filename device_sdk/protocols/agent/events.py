"""What happens on a link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from device_sdk.wire.agent.hello import AgentHello


@dataclass(frozen=True)
class Opened:
    """A session has begun; what was sent in an earlier one and has no answer must be sent again."""

    hello: AgentHello


@dataclass(frozen=True)
class Arrived:
    """A message, whole, as it was sent."""

    data: bytes


@dataclass(frozen=True)
class Lost:
    """The session is over, for the reason that is given; nothing that was under way arrives any more."""

    reason: str


@dataclass(frozen=True)
class Closed:
    """The other side has said goodbye, or agreed to it."""


Event: TypeAlias = Opened | Arrived | Lost | Closed
