"""What a step for a package comes to, in words."""

from __future__ import annotations

from dataclasses import dataclass

from device_sdk.client.device.sync.report import StepState
from device_sdk.client.device.sync.visit import Visit


@dataclass(frozen=True)
class Done:
    """What came of a step.

    Attributes:
        detail: in words.
        notes: what a person should know beyond that.
        state: DONE, EARLIER, SKIPPED or UNCONFIGURED; PENDING for what a later run does; FAILED for what was done in part,
            and is over.
    """

    detail: str
    notes: tuple[str, ...] = ()
    state: StepState = StepState.DONE


def known(visit: Visit) -> Done:
    """Nothing is to be done: the very package was dealt with before."""
    when = f" on {visit.before.at:%Y-%m-%dT%H:%M:%SZ}" if visit.before else ""
    return Done(f"the same package was dealt with{when}", state=StepState.EARLIER)
