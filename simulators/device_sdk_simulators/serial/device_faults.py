"""What goes wrong in a device itself: resets, refusals and silence at a step, and hostile answers."""

from __future__ import annotations

from dataclasses import dataclass, field

STEPS = ("login", "facts", "configure", "create-key", "request", "install", "enrol", "prove", "run")
"""What a fault can be at."""
STEP_FAULTS = {
    "reset-before": "the device is reset before it does what the step asks",
    "reset-after": "the device is reset when it has done it, and says nothing of it",
    "cut": "the cable is pulled when it has done it, before the answer",
    "refuse": "the device refuses, with the error keystore",
    "silent": "the device does it and never answers",
    "slow": "the device takes several seconds",
}
"""What can happen at a step."""
HOSTILE = {
    "endless": "output without an end, and no answer in it",
    "long-line": "1 GiB without the end of a line or of a frame, and no answer in it",
    "escapes": "escape sequences around what it says",
    "controls": "escape sequences in its attributes",
    "html": "HTML, paths and spreadsheet formulas in its attributes",
    "other-serial": "another device's serial number",
    "other-csr": "a request for a key that it did not show",
    "other-answer": "answers to requests that nobody made",
    "replay": "answers from before, again",
    "bad-proof": "a proof by another key",
    "progress": "at work for ever",
    "long-message": "messages announced as longer than any may be",
    "version": "another version of the protocol",
    "bad-json": "names that are there twice, in JSON nested deeper than allowed",
}
"""Ways to be hostile."""


@dataclass
class DeviceFaults:
    """The faults of one device; each fault at a step happens as often as it is listed.

    Attributes:
        steps: (step, fault) pairs of STEPS and STEP_FAULTS.
        hostile: names of HOSTILE.
        slow_s: how slow slow is.
        boot_s: how long a reset takes.
        happened: what did happen, "fault@step".
    """

    steps: list[tuple[str, str]] = field(default_factory=list)
    hostile: frozenset[str] = frozenset()
    slow_s: float = 3.0
    boot_s: float = 0.2
    happened: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        unknown = [one for one in self.steps if one[0] not in STEPS or one[1] not in STEP_FAULTS]
        if unknown or not self.hostile <= HOSTILE.keys():
            raise ValueError(f"no such fault: {unknown or sorted(self.hostile - HOSTILE.keys())}")

    def take(self, step: str, fault: str) -> bool:
        """Whether this happens now; counts down."""
        if (step, fault) not in self.steps:
            return False
        self.steps.remove((step, fault))
        self.happened.append(f"{fault}@{step}")
        return True
