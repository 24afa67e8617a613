"""Login at a simulated console."""

from __future__ import annotations

from collections.abc import Callable

_TRIES = 3
_LONGEST = 256


class Login:
    """Name, password, and then a shell, or not.

    Args:
        host: what the prompt begins with.
        user: who may log in.
        password: with which password; "" for none asked.
        say: takes output.
        welcome: called when somebody may come in.
        refuse: whether the right password is refused, too.
    """

    def __init__(
        self,
        host: str,
        user: str,
        password: str,
        say: Callable[[bytes], None],
        welcome: Callable[[], None],
        refuse: Callable[[], bool],
    ) -> None:
        self._host, self._user, self._password = host, user, password
        self._say, self._welcome, self._refuse = say, welcome, refuse
        self._line = bytearray()
        self._name: str | None = None
        self._tries = 0

    def begin(self) -> None:
        """Ask for the name."""
        self._name = None
        self._line.clear()
        self._say(f"\r\n{self._host} login: ".encode())

    def hear(self, data: bytes) -> bytes:
        """Keys; those that are left when somebody came in are for the shell."""
        for index, byte in enumerate(data):
            if byte in b"\r\n":
                if self._complete():
                    return data[index + 1 :]
            elif byte in (8, 127):
                self._line[-1:] = b""
            elif byte in (3, 4):
                self.begin()
            elif byte >= 32 and len(self._line) < _LONGEST:
                self._line.append(byte)
                if self._name is None:
                    self._say(bytes([byte]))
        return b""

    def _complete(self) -> bool:
        line = self._line.decode("utf-8", "replace")
        self._line.clear()
        self._say(b"\r\n")
        if self._name is None:
            if not line:
                self._say(f"{self._host} login: ".encode())
                return False
            self._name = line
            if self._password or line != self._user:
                self._say(b"Password: ")
                return False
        return self._judge(line)

    def _judge(self, password: str) -> bool:
        right = self._name == self._user and (not self._password or password == self._password)
        if right and not self._refuse():
            self._welcome()
            return True
        self._say(b"Login incorrect\r\n")
        self._tries += 1
        if self._tries % _TRIES == 0:
            self._say(b"\r\nMaximum number of tries exceeded (3)\r\n")
        self.begin()
        return False
