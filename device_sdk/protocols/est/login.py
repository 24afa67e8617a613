"""Which challenge is answered, and what is remembered between requests (RFC 7030 section 3.2.3; EST-83 to EST-86)."""

from __future__ import annotations

from collections.abc import Sequence

from device_sdk.errors import VerificationError
from device_sdk.model.credentials import Credentials
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.protocols.est.challenge import Challenge, basic_authorization
from device_sdk.protocols.est.digest import BadProofError, DigestChallenge, DigestSession

SUPPORTED = "Basic, and Digest with qop=auth and SHA-512-256, SHA-256 or MD5"


class Login:
    """User name and password for one origin, over any number of requests to it.

    The strongest challenge that can be answered is: Digest with SHA-512-256, SHA-256, MD5, then Basic. Digest with MD5
    comes before Basic because TLS has authenticated the server already and nobody else sees either: what is left to
    protect is the password from a server that is not what it was, which by Basic gets the password itself and by Digest
    a hash to try passwords with. A server that knows the password (rspauth) is held to its word.

    The first request to any target carries nothing (EST-72). After a Digest challenge for a target, further requests to
    that target count on with the nonce, so that a server which gives the next nonce is spared the 401. Basic is said
    again only when it is asked for again.

    One conversation at a time: whoever shares it between threads sees to that.

    Args:
        credentials: user name and password.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._session: DigestSession | None = None
        self._targets: set[str] = set()

    def choose(self, challenges: Sequence[Challenge]) -> Challenge | None:
        """The strongest of the challenges that can be answered, the server's first among equals; None for none."""
        return max(challenges, key=_strength) if any(map(_strength, challenges)) else None

    def is_stale(self, challenge: Challenge) -> bool:
        """Whether a challenge refuses the nonce of the last answer and not the password."""
        digest, last = DigestChallenge.read(challenge), self._session
        return digest is not None and digest.stale and last is not None and digest.nonce != last.nonce

    def begin(self, challenge: Challenge, target: str) -> None:
        """Go by this challenge, which `choose` picked, from now on."""
        digest = DigestChallenge.read(challenge)
        self._session = DigestSession(digest) if digest else None
        self._targets = {target}

    def forget(self) -> None:
        """Begin as if nothing had been said yet."""
        self._session, self._targets = None, set()

    def knows(self, target: str) -> bool:
        """Whether a request to this target is answered before it is asked."""
        return self._session is not None and target in self._targets

    def authorization(self, request: HttpRequest) -> tuple[str, str]:
        """The Authorization header for one request."""
        if self._session is None:
            return "Authorization", basic_authorization(self._credentials)
        self._targets.add(request.target)
        return "Authorization", self._session.authorization(self._credentials, request.method, request.target)

    def confirm(self, request: HttpRequest, response: HttpResponse) -> None:
        """Check the server's own proof, where it sends one.

        Raises:
            VerificationError: it is not made with the password. Close the connection.
        """
        info = response.header("Authentication-Info")
        if info is None or self._session is None:
            return
        try:
            self._session.confirm(self._credentials, request.target, info)
        except BadProofError as error:
            self._session = None
            raise VerificationError(
                f"{request.method} {response.url}: the server does not prove that it knows the password: {error}",
                hint="nothing of the answer was used: make sure that this is the server that was meant, then ask its operator",
                url=response.url,
            ) from None


def _strength(challenge: Challenge) -> int:
    """0 for what cannot be answered, 1 for Basic, more for Digest."""
    if challenge.scheme.lower() == "basic":
        return 1
    digest = DigestChallenge.read(challenge)
    return digest.strength + 1 if digest else 0
