"""What becomes of a failure: tried again, the end for this device, or the end of the run."""

from __future__ import annotations

from device_sdk.errors import (
    DeviceSaysError,
    DeviceSdkError,
    EnrolmentPendingError,
    HttpStatusError,
    LedgerError,
    LineError,
    ResponseTooLargeError,
    StateBusyError,
    StateNotWritableError,
    TlsError,
    TransportError,
)

_LATER = (429, 502, 503, 504)
_DEVICE_LATER = (5, 8)  # exit codes of the device's own errors: the network, and a server that asks for patience


class StoppedError(Exception):
    """The run was stopped: a device that is under way is let go. Never leaves the station."""


def ends_the_run(error: DeviceSdkError) -> bool:
    """The station's own disk or ledger: no device can be taken any further."""
    return isinstance(error, LedgerError | StateNotWritableError | StateBusyError)


def may_pass(error: DeviceSdkError) -> bool:
    """Whether the same may succeed after a while, without anybody's doing or by plugging a cable in again."""
    if isinstance(error, DeviceSaysError):
        return error.device_exit in _DEVICE_LATER
    if isinstance(error, HttpStatusError):
        return error.status_code in _LATER
    if isinstance(error, TransportError):
        return not isinstance(error, TlsError | ResponseTooLargeError)
    return isinstance(error, LineError | EnrolmentPendingError)
