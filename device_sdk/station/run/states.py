"""How far a device has come, and the steps that bring it there."""

from __future__ import annotations

from enum import StrEnum


class DeviceState(StrEnum):
    """Where a device stands, in the order in which they follow each other; a mode may leave some out."""

    SEEN = "seen"
    IDENTIFIED = "identified"
    CLAIMED = "claimed"
    CONFIGURED = "configured"
    KEY = "key"
    REQUESTED = "requested"
    ISSUED = "issued"
    INSTALLED = "installed"
    PROVED = "proved"
    SELF_TESTED = "self-tested"
    LABELLED = "labelled"
    PROVISIONED = "provisioned"
    FAILED = "failed"


class Step(StrEnum):
    """What is done to a device. Hooks of the profile are steps of their own, named "before:NAME", "after:NAME"."""

    OPEN = "open"
    IDENTIFY = "identify"
    CLAIM = "claim"
    CONFIGURE = "configure"
    KEY = "key"
    REQUEST = "request"
    ISSUE = "issue"
    INSTALL = "install"
    ENROL = "enrol"
    PROVE = "prove"
    LABEL = "label"


STATE_AFTER: dict[str, DeviceState] = {
    Step.OPEN: DeviceState.SEEN,
    Step.IDENTIFY: DeviceState.IDENTIFIED,
    Step.CLAIM: DeviceState.CLAIMED,
    Step.CONFIGURE: DeviceState.CONFIGURED,
    Step.KEY: DeviceState.KEY,
    Step.REQUEST: DeviceState.REQUESTED,
    Step.ISSUE: DeviceState.ISSUED,
    Step.INSTALL: DeviceState.INSTALLED,
    Step.ENROL: DeviceState.INSTALLED,
    Step.PROVE: DeviceState.PROVED,
    Step.LABEL: DeviceState.LABELLED,
}
"""The state a device is in when a step is done."""
