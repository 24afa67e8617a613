"""The state directory."""

from __future__ import annotations

from device_sdk.errors.base import DeviceSdkError


class StateError(DeviceSdkError):
    """The state directory; `path` is the file or directory."""

    code = "state"
    exit_code = 9
    path: str | None = None


class StateBusyError(StateError):
    """Another process is changing this state directory."""

    code = "state-busy"


class StateCorruptError(StateError):
    """A file of the state directory cannot be read."""

    code = "state-corrupt"


class StateNotWritableError(StateError):
    """Disk full, read-only, or no permission; what was there before is unchanged."""

    code = "state-not-writable"


class RolledBackError(StateError):
    """A file is older than the counter in hardware that it is bound to, was changed by somebody else, or one of both is gone."""

    code = "rolled-back"
