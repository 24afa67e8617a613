"""A TCP port as of a terminal server that speaks RFC 2217: stations set the baud rate of the line over it."""

from __future__ import annotations

from collections.abc import Callable

from device_sdk_simulators.serial.ports import TcpPort

_IAC, _DONT, _DO, _WONT, _WILL, _BEGIN, _END = 255, 254, 253, 252, 251, 250, 240
_COM_PORT = 44
_OPTIONS = (0, 1, 3, _COM_PORT)  # binary, echo, suppress go ahead
_SET_BAUD, _NOTIFY_MODEM, _ANSWER = 1, 107, 100
_MODEM_READY = 0xB0  # carrier, data set ready, clear to send
_MOST_WORDS = 256


class TelnetReader:
    """Takes telnet's commands out of what comes.

    Args:
        reply: takes what is to be sent back.
        rate: called with the baud rate that the station sets.
    """

    def __init__(self, reply: Callable[[bytes], None], rate: Callable[[int], None]) -> None:
        self._reply, self._rate = reply, rate
        self._command = bytearray()
        self._agreed: set[tuple[int, int]] = set()

    def feed(self, data: bytes) -> bytes:
        """The octets that are for the device."""
        plain = bytearray()
        for byte in data:
            if not self._command and byte != _IAC:
                plain.append(byte)
            elif self._command == b"\xff" and byte == _IAC:
                plain.append(byte)
                self._command.clear()
            else:
                self._command.append(byte)
                self._try()
        return bytes(plain)

    def _try(self) -> None:
        """Act on a command when it is complete."""
        command = self._command
        if len(command) < 2:
            return
        if command[1] == _BEGIN:
            if command.endswith(bytes([_IAC, _END])) and not command.endswith(bytes([_IAC, _IAC, _END])):
                self._words(bytes(command[2:-2]).replace(b"\xff\xff", b"\xff"))
            elif len(command) < _MOST_WORDS:
                return
        elif command[1] in (_DO, _DONT, _WILL, _WONT):
            if len(command) < 3:
                return
            self._negotiate(command[1], command[2])
        command.clear()

    def _negotiate(self, verb: int, option: int) -> None:
        """Agree to what a serial line needs, refuse the rest, and say each thing once."""
        known = option in _OPTIONS
        answer = {_DO: _WILL if known else _WONT, _WILL: _DO if known else _DONT, _DONT: _WONT, _WONT: _DONT}[verb]
        if (answer, option) not in self._agreed:
            self._agreed.add((answer, option))
            self._reply(bytes([_IAC, answer, option]))

    def _words(self, words: bytes) -> None:
        if len(words) < 2 or words[0] != _COM_PORT:
            return
        number, value = words[1], words[2:]
        if number == _SET_BAUD and len(value) == 4:
            self._rate(int.from_bytes(value, "big"))
        self._say(number + _ANSWER, value)
        if number == _SET_BAUD:
            self._say(_NOTIFY_MODEM, bytes([_MODEM_READY]))

    def _say(self, number: int, value: bytes) -> None:
        escaped = bytes([_COM_PORT, number]) + value.replace(b"\xff", b"\xff\xff")
        self._reply(bytes([_IAC, _BEGIN]) + escaped + bytes([_IAC, _END]))


class Rfc2217Port(TcpPort):
    """A line behind such a server; `baud` is what the station set."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__(host)
        self._reader = self._fresh()

    def _fresh(self) -> TelnetReader:
        return TelnetReader(self._control.extend, self._set_rate)

    def _set_rate(self, baud: int) -> None:
        # 0 asks what the rate is
        self.baud = baud or self.baud

    @property
    def url(self) -> str:
        """rfc2217://HOST:PORT."""
        return super().url.replace("socket:", "rfc2217:")

    def _met(self) -> None:
        self._reader, self.baud = self._fresh(), None

    def _understand(self, data: bytes) -> bytes:
        return self._reader.feed(data)

    def _wrap(self, data: bytes) -> bytes:
        return data.replace(b"\xff", b"\xff\xff")
