"""The end of a line that a station opens: a pseudo terminal under a name that stays, or a TCP port."""

from __future__ import annotations

import asyncio
import os
import socket
import termios
import tty
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_NOBODY = termios.B50
_LOOK_S = 0.05
_PIECE = 4096
_RATES = {value: int(name[1:]) for name, value in vars(termios).items() if name.startswith("B") and name[1:].isdigit()}


class Port(ABC):
    """Where a station reaches a line.

    Attributes:
        heard: called with what the station sends.
        came: called when a station opened it, with its baud rate or None.
        left: called when the station closed it.
        present: whether a station has it open.
        baud: the rate the station chose, None where there is none.
    """

    def __init__(self) -> None:
        self.heard: Callable[[bytes], None] = lambda _data: None
        self.came: Callable[[], None] = lambda: None
        self.left: Callable[[], None] = lambda: None
        self.present = False
        self.baud: int | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """What pyserial's serial_for_url takes."""

    @abstractmethod
    def open(self) -> None:
        """Plug the cable in."""

    @abstractmethod
    def close(self) -> None:
        """Pull the cable: whoever has it open reads an end or an error."""

    @abstractmethod
    def write(self, data: bytes) -> int:
        """Send as much as there is room for; how much that was."""

    @abstractmethod
    def pause(self, paused: bool) -> None:
        """Stop or go on hearing."""


class PtyPort(Port):
    """A pseudo terminal, new with each plugging, with a symbolic link to it that has a name of its own.

    A station is noticed when it sets the terminal up or sends something, and its leaving by the end of the terminal: our
    own hold on the other side is let go while it is there.
    """

    def __init__(self, link: Path) -> None:
        super().__init__()
        self._link = link
        self._master = self._slave = -1
        self._name = ""
        self._look: asyncio.TimerHandle | None = None
        self._paused = False

    @property
    def url(self) -> str:
        """The path of the link."""
        return str(self._link)

    def open(self) -> None:
        """Make the terminal and the link."""
        self._master, self._slave = os.openpty()
        os.set_blocking(self._master, False)
        self._name = os.ttyname(self._slave)
        self._hold()
        temporary = self._link.with_name(f".{self._link.name}.new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(self._name)
        temporary.replace(self._link)
        self._watch()

    def _hold(self) -> None:
        tty.setraw(self._slave)
        settings = termios.tcgetattr(self._slave)
        settings[4] = settings[5] = _NOBODY
        termios.tcsetattr(self._slave, termios.TCSANOW, settings)
        termios.tcflush(self._slave, termios.TCIOFLUSH)
        self.present, self.baud = False, None
        self._look = asyncio.get_running_loop().call_later(_LOOK_S, self._look_for_station)

    def _watch(self) -> None:
        if not self._paused and self._master >= 0:
            asyncio.get_running_loop().add_reader(self._master, self._readable)

    def _look_for_station(self) -> None:
        if self._speed() != _NOBODY:
            self._arrived()
        else:
            self._look = asyncio.get_running_loop().call_later(_LOOK_S, self._look_for_station)

    def _speed(self) -> int:
        # on the master's side of a pair these are the settings of the terminal
        return int(termios.tcgetattr(self._master)[5])

    def _arrived(self) -> None:
        if self._look:
            self._look.cancel()
        self.present, self.baud = True, _RATES.get(self._speed())
        os.close(self._slave)
        self._slave = -1
        self.came()

    def _readable(self) -> None:
        try:
            data = os.read(self._master, _PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._departed()
            return
        if not self.present:
            self._arrived()
        elif self._speed() != _NOBODY:
            # stations that look for the rate change it while the line is open
            self.baud = _RATES.get(self._speed())
        self.heard(data)

    def _departed(self) -> None:
        if not self.present:
            return
        self._slave = os.open(self._name, os.O_RDWR | os.O_NOCTTY)
        self._hold()
        self.left()

    def write(self, data: bytes) -> int:
        """Into the terminal's buffer; what nobody reads stays there until it is full, and is then lost."""
        if self.present:
            self.baud = _RATES.get(self._speed())
        try:
            return os.write(self._master, data)
        except BlockingIOError:
            return 0 if self.present else len(data)
        except OSError:
            return len(data)

    def pause(self, paused: bool) -> None:
        """Stop or go on hearing."""
        self._paused = paused
        if self._master < 0:
            return
        if paused:
            asyncio.get_running_loop().remove_reader(self._master)
        else:
            self._watch()

    def close(self) -> None:
        """Remove the link and the terminal."""
        if self._master < 0:
            return
        if self._look:
            self._look.cancel()
        with suppress(OSError):
            if self._link.readlink() == Path(self._name):
                self._link.unlink()
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        if self._slave >= 0:
            os.close(self._slave)
        self._master = self._slave = -1
        self.present, self._paused = False, False


class TcpPort(Port):
    """A TCP port, as of a terminal server in raw mode; one station at a time, further ones are hung up on."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__()
        self._host = host
        self._number = 0
        self._listener: socket.socket | None = None
        self._peer: socket.socket | None = None
        self._paused = False
        # what the server itself says, before anything of the device; and what of it there was no room for
        self._control = bytearray()

    @property
    def url(self) -> str:
        """socket://HOST:PORT."""
        return f"socket://{self._host}:{self._number}"

    def open(self) -> None:
        """Listen; the port stays the same over all pluggings."""
        self._listener = listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self._host, self._number))
        listener.listen(8)
        listener.setblocking(False)
        self._number = listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(listener, self._accept)

    def _accept(self) -> None:
        if self._listener is None:
            return
        peer, _address = self._listener.accept()
        if self._peer is not None:
            peer.close()
            return
        peer.setblocking(False)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peer, self.present = peer, True
        self._control.clear()
        self._met()
        self._watch()
        self.came()

    def _watch(self) -> None:
        if self._peer is not None and not self._paused:
            asyncio.get_running_loop().add_reader(self._peer, self._readable)

    def _readable(self) -> None:
        if self._peer is None:
            return
        try:
            data = self._peer.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            plain = self._understand(data)
            self._say_control()
            if plain:
                self.heard(plain)
        else:
            self._hang_up()
            self.left()

    def _hang_up(self) -> None:
        if self._peer is not None:
            asyncio.get_running_loop().remove_reader(self._peer)
            self._peer.close()
        self._peer, self.present = None, False

    def write(self, data: bytes) -> int:
        """To the station; what is said to nobody is lost."""
        if self._peer is None:
            return len(data)
        self._say_control()
        if self._control:
            return 0
        wrapped = self._wrap(data)
        sent = self._send(wrapped)
        # what is wrapped is not sent by halves
        self._control += wrapped[sent:] if sent and len(wrapped) != len(data) else b""
        return len(data) if sent and len(wrapped) != len(data) else sent

    def _send(self, data: bytes) -> int:
        try:
            return self._peer.send(data) if self._peer is not None else len(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    def _say_control(self) -> None:
        if self._control:
            del self._control[: self._send(bytes(self._control))]

    def _met(self) -> None:
        """A station has come."""

    def _understand(self, data: bytes) -> bytes:
        """What of this is for the device."""
        return data

    def _wrap(self, data: bytes) -> bytes:
        """What the device says, as it goes over the network."""
        return data

    def pause(self, paused: bool) -> None:
        """Stop or go on hearing."""
        self._paused = paused
        if paused and self._peer is not None:
            asyncio.get_running_loop().remove_reader(self._peer)
        else:
            self._watch()

    def close(self) -> None:
        """Hang up and stop listening."""
        self._hang_up()
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        self._listener, self._paused = None, False
