"""Passwords over HTTP: Basic (RFC 7617) and Digest (RFC 7616), as the policy offers them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from device_sdk_simulators.est.digest import DigestAnswer, Nonces
from device_sdk_simulators.guessing import Guesses
from device_sdk_simulators.http.messages import Headers, HttpError, Request
from device_sdk_simulators.passwords import REALM, Users, basic_credentials
from device_sdk_simulators.policy import Policy

# There is nothing to remember in it; a client has to bring it back, and that is checked.
_OPAQUE = hashlib.sha256(REALM.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class LoggedIn:
    """A user whose password was right, and the scheme that showed it: "basic" or "digest"."""

    user: str
    scheme: str


class HttpLogin:
    """Who a request is from, by its Authorization header (RFC 7030 section 3.2.3).

    Args:
        users: names and passwords.
        policy: which schemes are offered.
        clock: the time, for nonces.
        guesses: what wrong ones cost.
    """

    def __init__(self, users: Users, policy: Policy, clock: Callable[[], datetime], guesses: Guesses) -> None:
        self._users = users
        self._guesses = guesses
        self._policy = policy
        self._nonces = Nonces(clock, lambda: policy.nonce_lifetime)

    def identify(self, request: Request) -> LoggedIn | None:
        """The user, or None without Authorization.

        Raises:
            HttpError: 401 for a wrong password, 429 after too many of them, 400 for what cannot be read.
        """
        values = request.header_values("Authorization")
        if not values:
            return None
        if len(values) > 1:
            raise HttpError(400, "Authorization is there twice")
        scheme, _, rest = values[0].partition(" ")
        if scheme.lower() == "digest" and "digest" in self._policy.http_auth:
            return LoggedIn(self._digest(request, DigestAnswer.parse(rest)), "digest")
        credentials = basic_credentials(values[0]) if "basic" in self._policy.http_auth else None
        if credentials is None:
            raise HttpError(401, "", self.challenges())
        name, password = credentials
        shown = password.encode()
        if not self._guesses.judge(
            name, request.source, lambda: self._users.check(name, password) or None, proof=shown
        ):
            raise HttpError(401, "", self.challenges())
        return LoggedIn(name, "basic")

    def has_users(self) -> bool:
        """Whether there is anybody whose password could be right."""
        return self._users.any()

    def challenges(self, *, stale: bool = False) -> Headers:
        """WWW-Authenticate for every scheme on offer, the strongest first (RFC 7616 section 3.7)."""
        offered = [self._challenge(algorithm, stale=stale) for algorithm in self._algorithms]
        if "basic" in self._policy.http_auth:
            offered.append(f'Basic realm="{REALM}", charset="UTF-8"')
        return [("WWW-Authenticate", text) for text in offered]

    @property
    def _algorithms(self) -> tuple[str, ...]:
        return self._policy.digest_algorithms if "digest" in self._policy.http_auth else ()

    def _challenge(self, algorithm: str, *, stale: bool) -> str:
        text = f'Digest realm="{REALM}", qop="auth", algorithm={algorithm}, nonce="{self._nonces.new()}"'
        text += f', opaque="{_OPAQUE}", charset=UTF-8'
        return text + (", userhash=true" if self._policy.digest_userhash else "") + (", stale=true" if stale else "")

    def _digest(self, request: Request, answer: DigestAnswer) -> str:
        values = answer.values
        # RFC 7616 section 3.4.6: what was answered is this request and no other
        if values["uri"] != request.target:
            raise HttpError(400, "Digest: uri is not the request's target")
        if values["opaque"] != _OPAQUE:
            raise HttpError(400, "Digest: opaque is not the one of the challenge")
        if values["realm"] != REALM or answer.algorithm.upper() not in self._algorithms:
            raise HttpError(401, "", self.challenges())
        login = self._users.login(answer.name, answer.algorithm.upper(), hashed=answer.hashed)
        expected = answer.response(login.ha1 if login else "", f"{request.method}:{request.target}")
        right = hmac.compare_digest(expected.encode(), values["response"].lower().encode("latin-1"))
        # by name, however it was given: neither its hash nor another algorithm is a second count
        claimed, shown = login.name if login else answer.name, login if right else None
        if self._guesses.judge(claimed, request.source, lambda: shown) is None or login is None:
            raise HttpError(401, "", self.challenges())
        once = request.method not in ("GET", "HEAD")
        if not self._nonces.use(values["nonce"], answer.count, once=once):
            raise HttpError(401, "", self.challenges(stale=True))
        info = f'rspauth="{answer.response(login.ha1, f":{request.target}")}", cnonce="{_quotable(values["cnonce"])}"'
        info += f", nc={values['nc']}, qop=auth" + (f', nextnonce="{self._nonces.new()}"' if once else "")
        request.answer_headers.append(("Authentication-Info", info))
        return login.name


def _quotable(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
