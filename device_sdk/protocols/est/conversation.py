"""One request until its final answer: the 401 answered once, redirects followed where that is allowed."""

from __future__ import annotations

from dataclasses import replace

from device_sdk.errors import AuthenticationRequiredError
from device_sdk.model.credentials import Credentials
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.protocols.est.challenge import Challenge, parse_challenges, schemes_of
from device_sdk.protocols.est.login import SUPPORTED, Login
from device_sdk.protocols.est.redirects import (
    MAX_REDIRECTS,
    REDIRECT_STATUSES,
    RedirectRule,
    RedirectTarget,
    redirect_refused,
    redirect_target,
    stay,
)
from device_sdk.protocols.est.server_text import server_text


class Conversation:
    """Feed it each response; it says what to send next, or None when the response is the final one.

    Args:
        request: the first request; it carries no credentials (EST-72: they answer a challenge, nothing else).
        origin: the origin it begins at, as in `EstEndpoint.origin`.
        credentials: what answers a challenge; a Login where nonces live on from one request to the next; or None.
        follow: whether redirects are followed; an unauthenticated connection follows none.
        may_leave: asked before the request goes to another origin; by default it never does.
    """

    def __init__(
        self,
        request: HttpRequest,
        origin: str,
        credentials: Credentials | Login | None = None,
        *,
        follow: bool = True,
        may_leave: RedirectRule = stay,
    ) -> None:
        self._plain = request
        self._origin = origin
        self._login = Login(credentials) if isinstance(credentials, Credentials) else credentials
        self._redirects_left, self._follow = MAX_REDIRECTS, follow
        self._may_leave = may_leave
        self._first, self._moved = origin + request.target, False
        self._visited = {self._first}
        self._answered = False
        self._withheld = False
        self._retried_stale = False
        self._authorized = self._login is not None and self._login.knows(request.target)
        self._request = self._next()

    @property
    def request(self) -> HttpRequest:
        """What is to be sent now."""
        return self._request

    @property
    def origin(self) -> str:
        """Where it is to be sent."""
        return self._origin

    @property
    def redirected_from(self) -> str | None:
        """The URL it began at, once a redirect was followed; None before."""
        return self._first if self._moved else None

    def answer(self, response: HttpResponse) -> HttpRequest | None:
        """What to send after this response, or None if it is the final one (which may still be a refusal).

        Raises:
            AuthenticationRequiredError: 401 that cannot be answered, or the second one. Close the connection (EST-84).
            RedirectRefusedError: another origin, too many redirects, or one that must not be followed.
            VerificationError: the server's proof of knowing the password is none.
        """
        if response.status_code == 401:
            self._answer_challenge(response)
        else:
            if self._login is not None and self._authorized:
                self._login.confirm(self._request, response)
            if response.status_code not in REDIRECT_STATUSES:
                return None
            self._plain, self._moved = self._redirected(response), True
        self._request = self._next()
        return self._request

    def _next(self) -> HttpRequest:
        """The plain request, with an answer of its own: Digest covers method and target, and counts."""
        if self._login is None or not self._authorized:
            return self._plain
        return replace(self._plain, headers=(*self._plain.headers, self._login.authorization(self._plain)))

    def _answer_challenge(self, response: HttpResponse) -> None:
        challenges = parse_challenges(response.header_values("WWW-Authenticate"))
        chosen = self._login.choose(challenges) if self._login else None
        if self._login is None or chosen is None or not self._may_answer(self._login, chosen):
            raise self._refused(response, schemes_of(challenges), known=chosen is not None)
        self._login.begin(chosen, self._plain.target)
        self._authorized = True

    def _may_answer(self, login: Login, challenge: Challenge) -> bool:
        """Once, and once more where only the nonce was too old (RFC 7616 section 3.3, stale)."""
        if not self._answered:
            self._answered = True
            return True
        if self._retried_stale or not login.is_stale(challenge):
            return False
        self._retried_stale = True
        return True

    def _refused(self, response: HttpResponse, schemes: tuple[str, ...], *, known: bool) -> AuthenticationRequiredError:
        hint = None
        if self._login is None and response.connection.client_authenticated:
            why = "the server wants a password as well as the certificate"
            hint = "give a user name and a password file (--user and --password-file)"
        elif self._withheld:
            why = (
                "the server asks for a password, which is for the server that was named and not for one it redirects to"
            )
            hint = "show a client certificate, or name this server in the URL if its password is meant"
        elif self._login is None:
            why = "the server asks for authentication and there are no credentials"
            hint = "give a user name and a password file, or a client certificate and its key"
        elif known:
            why = "the server refused the user name or password"
            hint = "check the user name, and where the password comes from (--password-file); it was tried once"
        else:
            why = f"the server offers {', '.join(schemes) or 'no scheme at all'}; supported is {SUPPORTED}"
        return AuthenticationRequiredError(
            f"{self._request.method} {response.url}: {why}",
            hint=hint,
            url=response.url,
            status_code=401,
            schemes=schemes,
            server_text=server_text(response),
        )

    def _redirected(self, response: HttpResponse) -> HttpRequest:
        request = self._plain
        if self._redirects_left == 0 and self._follow:
            raise redirect_refused(request, response, f"it is one of more than {MAX_REDIRECTS}")
        there = redirect_target(request, response)
        if not self._follow:
            raise redirect_refused(
                request,
                response,
                f"it leads to {there.origin}, before the server is authenticated",
                hint=f"if that is where the service is, give its URL: --url {there.origin}",
            )
        self._redirects_left -= 1
        if there.url in self._visited:
            raise redirect_refused(request, response, "it leads round in a circle")
        self._visited.add(there.url)
        if there.origin != self._origin:
            request = self._leave(request, response, there)
        return replace(request, target=there.target)

    def _leave(self, request: HttpRequest, response: HttpResponse, there: RedirectTarget) -> HttpRequest:
        """To another origin, if somebody answers for it, and without any credentials (EST-29, EST-31)."""
        if not self._may_leave(response.url, there.url, request.method):
            hint = f"allow that origin if you mean it: --allow-redirect {there.origin}"
            raise redirect_refused(request, response, f"it leads to {there.origin}", hint=hint)
        # the plain request has no credentials, and there is nobody who could add some any more
        self._withheld = self._withheld or self._login is not None
        self._origin, self._login = there.origin, None
        return request
