"""The one place where pyserial is imported."""

from __future__ import annotations

import errno
import termios

from device_sdk.errors import ConfigurationError, LineError, MissingDependencyError
from device_sdk.transports.serial.channel import Channel, DescriptorChannel, PortChannel
from device_sdk.transports.serial.exclusive import in_use, is_tty_path
from device_sdk.transports.serial.settings import LineSettings

try:
    import serial
except ImportError as exc:
    raise MissingDependencyError(
        "serial lines need pyserial", hint="pip install 'device-sdk[serial]'", extra="serial"
    ) from exc

_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
_HINTS = {
    errno.ENOENT: "is it plugged in?",
    errno.EACCES: "the group of the device file (dialout) opens it",
    errno.EPERM: "the group of the device file (dialout) opens it",
}


def open_channel(url: str, settings: LineSettings) -> Channel:
    """Open a port by anything that pyserial's serial_for_url takes.

    Raises:
        LineError: it cannot be opened or set; LineInUseError where somebody has it.
        ConfigurationError: the URL or a setting is not one.
    """
    try:
        port = serial.serial_for_url(
            url,
            do_not_open=True,
            baudrate=settings.baud,
            parity=_PARITY[settings.parity],
            rtscts=settings.flow == "rtscts",
            xonxoff=settings.flow == "xonxoff",
            exclusive=True if is_tty_path(url) else None,
        )
        if settings.dtr is not None:
            port.dtr = settings.dtr
        if settings.rts is not None:
            port.rts = settings.rts
    except (ValueError, ImportError) as exc:
        raise ConfigurationError(f"line {url!r}: {exc}") from exc
    try:
        port.open()
    except (OSError, ValueError, termios.error) as exc:
        raise _cannot_open(url, exc) from exc
    try:
        port.fileno()
    except (OSError, AttributeError):  # io.UnsupportedOperation is an OSError
        return PortChannel(port)
    return DescriptorChannel(port)


def _cannot_open(url: str, exc: Exception) -> LineError:
    number = getattr(exc, "errno", None)
    if number in {errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK}:
        return in_use(url)
    return LineError(f"{url} cannot be opened: {exc}", line=url, hint=_HINTS.get(number or 0))
