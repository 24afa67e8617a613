"""Who may see the page: on the loopback address whoever is at this machine, elsewhere who knows the password."""

from __future__ import annotations

import hmac
import ipaddress
import threading
import time
from collections.abc import Callable
from hashlib import scrypt
from os import urandom

from device_sdk.errors import ConfigurationError
from device_sdk.model.secret import Secret

MIN_PASSWORD = 12
_FREE_TRIES = 5
_WAIT_S = 30.0
_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})


def is_loopback(address: str) -> bool:
    """Whether an address to listen on is one of this machine alone."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


class Access:
    """What is asked of a request before anything is shown.

    Args:
        names: host names (with port where it is not the usual one) under which browsers ask for the page; a request for
            another one is refused, as a page of somebody else that resolves its own name to this machine makes it.
        password: asked for if given; the user name is "station".
        monotonic: clock of the wait after wrong passwords.

    Raises:
        ConfigurationError: a password shorter than MIN_PASSWORD characters.
    """

    def __init__(
        self, names: frozenset[str], password: Secret | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._names = names
        self._salt = urandom(16)
        self._expected: bytes | None = None
        self._monotonic = monotonic
        self._turn = threading.Lock()
        self._wrong, self._until = 0, 0.0
        self._known: bytes | None = None
        if password is not None:
            given = password.reveal()
            if len(given) < MIN_PASSWORD:
                raise ConfigurationError(
                    f"the page's password has fewer than {MIN_PASSWORD} characters",
                    hint="make one with: openssl rand -base64 18",
                )
            self._expected = self._hash(given)

    def is_for_us(self, host: str) -> bool:
        """Whether the Host header field names this page."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        return name in _LOCAL or host in self._names or name in self._names

    def may_see(self, user: str | None, password: str | None) -> bool:
        """Whether a request with this user name and password is answered; after some wrong ones nobody is for a while."""
        if self._expected is None:
            return True
        if user != "station" or password is None or len(password) > 1024:
            return False
        given = password.encode()
        # one browser asks every second: what was right is known by a quick hash of this process alone
        quick = hmac.digest(self._salt, given, "sha256")
        with self._turn:
            if self._known is not None and hmac.compare_digest(quick, self._known):
                return True
            if self._monotonic() < self._until:
                return False
            if hmac.compare_digest(self._hash(given), self._expected):
                self._known, self._wrong = quick, 0
                return True
            self._wrong += 1
            if self._wrong >= _FREE_TRIES:
                self._until = self._monotonic() + _WAIT_S
            return False

    def _hash(self, password: bytes) -> bytes:
        return scrypt(password, salt=self._salt, n=2**14, r=8, p=1)
