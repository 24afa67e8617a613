"""The one place where pyserial is imported."""

from __future__ import annotations

import errno
import termios
from importlib.util import find_spec

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
_NOT_CONNECTED = "Could not open port"  # pyserial
_HINTS = {
    errno.ENOENT: "is it plugged in?",
    errno.EACCES: "the group of the device file (dialout) opens it",
    errno.EPERM: "the group of the device file (dialout) opens it",
    errno.ENOTTY: "it is no serial port",
    errno.ECONNREFUSED: "nobody listens there: host and port of the console server?",
}


def knows(scheme: str) -> bool:
    """Whether pyserial has a handler for URLs that begin so; none is loaded, as some of them open what a URL names."""
    return scheme.isalnum() and any(
        find_spec(f"{package}.protocol_{scheme.lower()}") for package in serial.protocol_handler_packages
    )


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
    number = _number(exc)
    if number in {errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK}:
        return in_use(url)
    if url.startswith("rfc2217:") and number is None and not str(exc).startswith(_NOT_CONNECTED):
        return LineError(
            f"{url}: whoever answers there does not negotiate as RFC 2217 says",
            line=url,
            hint="is it a port of a console server that speaks RFC 2217? one of plain TCP is socket://HOST:PORT",
        )
    return LineError(f"{url} cannot be opened: {exc}", line=url, hint=_HINTS.get(number or 0))


def _number(exc: BaseException | None) -> int | None:
    """The system's, of this error or of one that it was made of: pyserial keeps it in its words only."""
    while exc is not None:
        number = getattr(exc, "errno", None) or (exc.args[0] if isinstance(exc, termios.error) and exc.args else None)
        if isinstance(number, int):
            return number
        exc = exc.__context__
    return None
