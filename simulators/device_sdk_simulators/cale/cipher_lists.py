"""Two servers that work together have the same list of cipher suites (CALE-29), and each is what the other takes it for."""

from __future__ import annotations

import json

from device_sdk_simulators.cale import headers
from device_sdk_simulators.cale.authorization import CIPHERS_PATH
from device_sdk_simulators.cale.hops import Hop, HopError, HopProtocolError, HopTrustError
from device_sdk_simulators.http.messages import Request, Response
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.softhsm import SimulatorError


class CipherListsDifferError(SimulatorError):
    """A server would refuse what another one names, or take what it must not."""


class WrongRoleError(SimulatorError):
    """Somebody else than the role that was named answers at its URL."""


class SameList:
    """A hop that carries nothing until the role at its other end has shown the same list.

    Args:
        hop: the hop.
        policy: has our list.
        url: of the role, for messages.
        role: which one it has to be: "authz" or "origin". A server that does not say it is believed.
    """

    def __init__(self, hop: Hop, policy: Policy, url: str, role: str) -> None:
        self._hop = hop
        self._policy = policy
        self._url = url
        self._role = role
        self._same = False

    def __call__(self, request: Request) -> Response:
        """Carry a request; HopProtocolError while the lists differ."""
        if not self._same:
            self._compare()
        return self._hop(request)

    def check_now(self) -> None:
        """Compare if the role is there already; CipherListsDifferError, WrongRoleError."""
        try:
            self._compare()
        except _DifferentError as error:
            raise CipherListsDifferError(str(error)) from error
        except _OtherRoleError as error:
            raise WrongRoleError(str(error)) from error
        except HopTrustError as error:
            words = "name it by a name or the fingerprint of its certificate, as `device-sdk-sim cale pki` prints them"
            raise WrongRoleError(f"{error} ({words})") from error
        except HopError:
            # it may start after us; the first request will see
            return

    def _compare(self) -> None:
        response = self._hop(Request("GET", CIPHERS_PATH))
        try:
            theirs = set(json.loads(response.body)) if response.status == 200 else None
        except (ValueError, TypeError, RecursionError):
            theirs = None
        said = response.header(headers.ROLE) or self._role
        if theirs is not None and said != self._role:
            raise _OtherRoleError(f"{self._url} is the {said} role, and was named as the {self._role} role")
        if theirs is None:
            words = f"{self._url} does not say which cipher suites it knows ({response.status})"
            if 400 <= response.status < 500:
                raise _OtherRoleError(f"{words}: it is not the {self._role} role, or does not list this one as a peer")
            raise HopProtocolError(words)
        ours = set(self._policy.cale.suites)
        if theirs != ours:
            different = ", ".join(sorted(map(str, theirs ^ ours)))
            raise _DifferentError(f"{self._url} has another list of cipher suites: {different}")
        self._same = True


class _DifferentError(HopProtocolError):
    pass


class _OtherRoleError(HopProtocolError):
    pass
