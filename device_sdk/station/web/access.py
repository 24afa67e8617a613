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
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(address: str) -> bool:
    """Whether an address to listen on is one of this machine alone."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def without_brackets(address: str) -> str:
    """An address as the system takes it; in URLs those of IPv6 stand in brackets."""
    return address[1:-1] if address.startswith("[") and address.endswith("]") else address


def is_asked_here(site: str | None, mode: str | None, destination: str | None) -> bool:
    """Whether a request is this page's own, or a link that somebody followed; not an image or a script of another page.

    Args:
        site: Sec-Fetch-Site of the request (Fetch Metadata, W3C); what is no browser says nothing.
        mode: Sec-Fetch-Mode.
        destination: Sec-Fetch-Dest.
    """
    return site in (None, "none", "same-origin") or (mode == "navigate" and destination == "document")


def _spelled(host: str) -> tuple[str, str]:
    """Name and port of a host in one spelling: browsers have their own of what a person wrote, for IPv6 addresses above all."""
    name, _, port = host.lower().rpartition(":")
    if not port.isdigit() or (":" in name and not name.endswith("]")):
        name, port = host.lower(), ""
    name = without_brackets(name)
    try:
        return str(ipaddress.ip_address(name)), port
    except ValueError:
        return name, port


class Access:
    """What is asked of a request before anything is shown.

    Args:
        names: host names and addresses (with a port for that one alone) under which browsers ask for the page, in any
            spelling; a request for another one is refused, as a page of somebody else that resolves its own name to this
            machine makes it.
        password: asked for if given; the user name is "station".
        monotonic: clock of the wait after wrong passwords.

    Raises:
        ConfigurationError: a password shorter than MIN_PASSWORD characters.
    """

    def __init__(
        self, names: frozenset[str], password: Secret | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._names = frozenset(map(_spelled, names))
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
        name, port = _spelled(host)
        return name in _LOCAL or (name, port) in self._names or (name, "") in self._names

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
            if (
                self._wrong >= _FREE_TRIES
            ):  # who waited has all tries again: one wrong password in between keeps nobody out
                self._wrong = 0
            if hmac.compare_digest(self._hash(given), self._expected):
                self._known, self._wrong = quick, 0
                return True
            self._wrong += 1
            if self._wrong >= _FREE_TRIES:
                self._until = self._monotonic() + _WAIT_S
            return False

    def _hash(self, password: bytes) -> bytes:
        return scrypt(password, salt=self._salt, n=2**14, r=8, p=1)
