"""What becomes of a failure: tried again, the end for this device, or the end of the run."""

from __future__ import annotations

from device_sdk.errors import (
    BenchError,
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


def say_first(error: DeviceSdkError, first: DeviceSdkError | None) -> None:
    """Have the failure of the last attempt say what the first one ended in: a device that is asked again and again falls silent."""
    if first is None or str(first) == str(error):
        return
    error.args = (f"{error.message}; at the first attempt: {first}", *error.args[1:])
    excerpt = getattr(first, "excerpt", None)
    if isinstance(error, BenchError) and excerpt and not error.excerpt:
        error.excerpt = str(excerpt)


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
