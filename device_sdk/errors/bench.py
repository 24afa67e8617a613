"""Devices on serial lines, and the station they are provisioned by."""

from __future__ import annotations

from device_sdk.errors.base import DeviceSdkError


class BenchError(DeviceSdkError):
    """A device on a line did not do what it was asked; `line` is the line, `serial_number` the device, if known.

    `excerpt` is the end of what the line showed, printable characters only, secrets taken out, at most 2,000 characters.
    """

    code = "bench"
    exit_code = 12
    line: str | None = None
    serial_number: str | None = None
    excerpt: str | None = None


class LineError(BenchError):
    """The line: it cannot be opened, is in use, was cut, or what comes over it cannot be read."""

    code = "line"


class LineInUseError(LineError):
    """Somebody else has the line."""

    code = "line-in-use"


class LineSilentError(LineError):
    """Nothing, or nothing that could be made sense of, came in time; `timeout_s` is the limit."""

    code = "line-silent"
    timeout_s: float | None = None


class LoginRefusedError(BenchError):
    """The console asked for the password again. It is tried once."""

    code = "login-refused"


class BootLoaderMissedError(BenchError):
    """The device started when nobody talked to its boot loader, and variables were to be set there."""

    code = "boot-loader-missed"


class AgentVersionError(BenchError):
    """The agent speaks another version of the protocol; `theirs` and `ours` say which."""

    code = "agent-version"
    theirs: str | None = None
    ours: str | None = None


class WrongDeviceError(BenchError):
    """The device is not the one it should be, or says what another one said already."""

    code = "wrong-device"


class DeviceClaimedError(WrongDeviceError):
    """A station has this device; `station` says which, `until` (RFC 3339) how long at least."""

    code = "device-claimed"
    station: str | None = None
    until: str | None = None


class ClaimLostError(WrongDeviceError):
    """This station's claim on the device is gone: it ran out and another one took it, or it was released."""

    code = "claim-lost"


class DeviceProvisionedError(WrongDeviceError):
    """The device is provisioned already, in `run`, and nobody said that it is to be once more."""

    code = "device-provisioned"
    run: str | None = None


class DeviceRequestError(BenchError):
    """A device's certificate request cannot be read, or asks for what this device may not have; it was not sent."""

    code = "device-request"


class DeviceSaysError(BenchError):
    """The device refused; `device_code` is the code of its own error, `device_exit` its exit code."""

    code = "device-says"
    device_code: str | None = None
    device_exit: int | None = None


class LedgerError(DeviceSdkError):
    """The ledger cannot be read or written, or its chain is broken; `entry` is the number of the entry, if one is at fault."""

    code = "ledger"
    exit_code = 13
    entry: int | None = None
