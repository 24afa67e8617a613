"""The connection of a client to its server, and those to wherever redirects led."""

from __future__ import annotations

from typing import Protocol

from device_sdk.errors import RedirectRefusedError
from device_sdk.model.http import HttpResponse
from device_sdk.protocols.est.redirects import RedirectRule
from device_sdk.protocols.est.urls import origin_of
from device_sdk.transports.base import Transport

_UNASKED = frozenset({"GET", "HEAD"})


class Connect(Protocol):
    """Makes the transport to an origin, always with the same trust and the same checks (EST-28)."""

    def __call__(self, origin: str, *, show_identity: bool) -> Transport:
        """Open nothing yet; `show_identity` says whether the client certificate may be shown there."""


class Connections:
    """One transport for each origin; the first is the client's own server.

    Args:
        home: the client's own server, "https://host:port".
        connect: makes a transport.
        ask: asked before a request other than GET and HEAD goes to another origin (EST-29); None refuses.

    Attributes:
        client_authenticated: an answer came over a connection in whose handshake the client certificate was used.
    """

    def __init__(self, home: str, connect: Connect, ask: RedirectRule | None = None) -> None:
        self.home = home
        self._connect, self._ask = connect, ask
        self._agreed = {home}
        self.client_authenticated = False
        self._transports: dict[tuple[str, bool], Transport] = {}
        self.at(home, "GET")  # so that a trust or a key that cannot work is found out now

    def at(self, origin: str, method: str) -> Transport:
        """The transport for a request; the client certificate is shown only where somebody agreed to send more than a GET.

        A GET that was redirected needs none (EST-111), and a device's certificate tells every server who is asking.
        """
        show_identity = origin == self.home or (origin in self._agreed and method not in _UNASKED)
        key = (origin, show_identity)
        if key not in self._transports:
            self._transports[key] = self._connect(origin, show_identity=show_identity)
        return self._transports[key]

    def note(self, response: HttpResponse) -> None:
        """Remember what an answer says about its connection."""
        self.client_authenticated |= response.connection.client_authenticated

    def may_leave(self, old_url: str, new_url: str, method: str) -> bool:
        """The rule for redirects to another origin; somebody is asked once for each origin."""
        origin = _origin(new_url)
        if method in _UNASKED or origin in self._agreed:
            return True
        if self._ask is None or not self._ask(old_url, new_url, method):
            return False
        self._agreed.add(origin)
        return True

    def may_fetch_elsewhere(self, old_url: str, new_url: str, method: str) -> bool:
        """The rule for what RFC 8295 publishes: a package list and its packages stay at their server unless somebody says yes.

        That is no consent to send a request there, nor to show the certificate.
        """
        return _origin(new_url) in self._agreed or (self._ask is not None and self._ask(old_url, new_url, method))

    def close(self) -> None:
        """Close all; a later request opens a new one."""
        for transport in self._transports.values():
            transport.close()


def unvouched(origin: str) -> RedirectRefusedError:
    """For a client that has a password of its own server (SRP) and no trust anchor: the password goes nowhere else."""
    return RedirectRefusedError(
        f"a redirect leads to {origin}, and the shared password authorizes its own server only",
        hint="give trust anchors for that server, or its own password",
        location=origin,
    )


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return origin_of(f"{scheme}://{rest.partition('/')[0]}")
