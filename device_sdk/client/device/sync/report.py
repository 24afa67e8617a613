"""What became of each entry of a package list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import TypeAlias

from device_sdk.client.device.delivery import Delivery
from device_sdk.errors import DeviceSdkError
from device_sdk.protocols.pal import SyncStep
from device_sdk.wire.pal import PalEntry


@unique
class StepState(Enum):
    """How far a step came."""

    PLANNED = "planned"
    """It would be done now."""
    BEGUN = "under way"
    DONE = "done"
    EARLIER = "done before"
    """A run that was interrupted did it."""
    PENDING = "pending"
    """The server has accepted a request and not decided it, or the device has to restart first."""
    SKIPPED = "skipped"
    """Nothing is to be done about it here, or nothing should be."""
    UNCONFIGURED = "not configured"
    """Its owner has to say what is to be done with it."""
    UNSUPPORTED = "not done by this version"
    FAILED = "failed"
    BLOCKED = "not tried"
    """It relies on a step that failed."""


@dataclass(frozen=True)
class StepResult:
    """One entry and what became of it.

    Attributes:
        entry: what the server said.
        step: where it leads and what it means; None if it is not followed.
        state: how far it came.
        detail: what was done, or why not.
        notes: what a person should know beyond that.
        error: why it failed, or is pending; else None.
        number: its place in the list, from 1.
        total: how many entries the list has.
    """

    entry: PalEntry
    step: SyncStep | None
    state: StepState
    detail: str
    notes: tuple[str, ...] = ()
    error: DeviceSdkError | None = None
    number: int = 0
    total: int = 0


Told: TypeAlias = Callable[[StepResult], object]
"""Told of each step when it begins (BEGUN) and when it ends."""


@dataclass(frozen=True)
class SyncReport:
    """All of them, in the order they were done.

    Attributes:
        steps: the entries of the list.
        resumed: whether an interrupted run was gone on with.
        notes: what is about none of them.
        delivery: receipts, confirms and errors that were waiting for the server, or came of the steps.
        unsettled: what a power cut left open could not be settled; the notes say why.
    """

    steps: tuple[StepResult, ...]
    resumed: bool = False
    notes: tuple[str, ...] = ()
    delivery: Delivery = field(default_factory=Delivery)
    unsettled: bool = False

    @property
    def failed(self) -> bool:
        """Whether anything failed."""
        return self.unsettled or any(one.state is StepState.FAILED for one in self.steps)

    @property
    def pending(self) -> bool:
        """Whether something waits: for the server to decide, or for a restart."""
        return any(one.state is StepState.PENDING for one in self.steps)
