"""The pair a device uses now."""

from __future__ import annotations

from device_sdk.errors import StateError
from device_sdk.state import DeviceState, Endpoint, IdentityRecord, StateDirectory


def enrolled(directory: StateDirectory, state: DeviceState) -> tuple[IdentityRecord, Endpoint]:
    """The pair in use and where it came from.

    Raises:
        StateError: this device is not enrolled.
    """
    if state.current is None or state.endpoint is None:
        journal = directory.journal()
        raise StateError(
            f"{directory.path}: this device is not enrolled"
            + (f"; an enrolment is under way since {journal.since:%Y-%m-%dT%H:%M:%SZ}" if journal else ""),
            hint="enrol it first: device-sdk enroll",
            path=str(directory.path),
        )
    return state.current, state.endpoint
