"""One request until its final answer: the 401 answered once, redirects of the same origin followed."""

from __future__ import annotations

from dataclasses import replace

from device_sdk.errors import AuthenticationRequiredError, RedirectRefusedError
from device_sdk.model.credentials import Credentials
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.protocols.est.challenge import (
    SUPPORTED_SCHEMES,
    basic_authorization,
    parse_challenges,
    schemes_of,
)
from device_sdk.protocols.est.redirects import MAX_REDIRECTS, REDIRECT_STATUSES, redirect_target
from device_sdk.protocols.est.server_text import server_text


class Conversation:
    """Feed it each response; it says what to send next, or None when the response is the final one.

    Args:
        request: the first request; it carries no credentials (EST-72: they answer a challenge, nothing else).
        origin: the origin all of it stays at.
        credentials: what answers a challenge, or None.
        follow: whether redirects are followed; an unauthenticated connection follows none.
    """

    def __init__(
        self, request: HttpRequest, origin: str, credentials: Credentials | None = None, *, follow: bool = True
    ) -> None:
        self._request = request
        self._origin = origin
        self._credentials = credentials
        self._answered = False
        self._redirects_left = MAX_REDIRECTS if follow else 0

    @property
    def request(self) -> HttpRequest:
        """What is to be sent now."""
        return self._request

    def answer(self, response: HttpResponse) -> HttpRequest | None:
        """What to send after this response, or None if it is the final one (which may still be a refusal).

        Raises:
            AuthenticationRequiredError: 401 that cannot be answered, or the second one. Close the connection (EST-84).
            RedirectRefusedError: another origin, too many redirects, or one that must not be followed.
        """
        if response.status_code == 401:
            self._request = self._with_authorization(response)
        elif response.status_code in REDIRECT_STATUSES:
            self._request = self._redirected(response)
        else:
            return None
        return self._request

    def _with_authorization(self, response: HttpResponse) -> HttpRequest:
        schemes = schemes_of(parse_challenges(response.header_values("WWW-Authenticate")))
        credentials = self._credentials
        known = any(scheme.lower() in SUPPORTED_SCHEMES for scheme in schemes)
        if credentials is None or self._answered or not known:
            raise self._refused(response, schemes, known)
        self._answered = True
        header = ("Authorization", basic_authorization(credentials))
        return replace(self._request, headers=(*self._request.headers, header))

    def _refused(self, response: HttpResponse, schemes: tuple[str, ...], known: bool) -> AuthenticationRequiredError:
        hint = None
        if self._answered:
            why = "the server refused the user name or password"
        elif self._credentials is None:
            why = "the server asks for authentication and there are no credentials"
            hint = "give a user name and a password file, or a client certificate and its key"
        else:
            offered = ", ".join(schemes) or "no scheme at all"
            why = f"the server offers {offered}; supported is Basic" if not known else "not authenticated"
        return AuthenticationRequiredError(
            f"{self._request.method} {response.url}: {why}",
            hint=hint,
            url=response.url,
            status_code=401,
            schemes=schemes,
            server_text=server_text(response),
        )

    def _redirected(self, response: HttpResponse) -> HttpRequest:
        if self._redirects_left == 0:
            raise RedirectRefusedError(
                f"{self._request.method} {response.url}: redirect refused: "
                f"more than {MAX_REDIRECTS}, or on a connection that follows none",
                url=response.url,
                status_code=response.status_code,
                location=response.header("Location"),
            )
        self._redirects_left -= 1
        return replace(self._request, target=redirect_target(self._request, response, self._origin))
