"""CALE for programs with an I/O of their own (asyncio, httpx, a proxy, a test): what to send, and what an answer says.

    exchange = CaleExchange(key, guid, "https://edge.example")
    answer = await http.get(exchange.url("/resource"), headers=exchange.headers)
    plaintext = await asyncio.to_thread(exchange.open, answer.status_code, answer.headers.items(), answer.content)

Whatever opens an answer does so within `device_sdk.FAILURE_SLOTS.one(len(body))`, so that the time of a failure says nothing.

Whoever carries the request follows no redirect and sends the headers to this origin only, over TLS only (CALE-07, CALE-13).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cryptography import x509

from device_sdk.model.decryption import EVERYTHING, DecryptionPolicy
from device_sdk.model.http import ConnectionFacts, HttpRequest, HttpResponse
from device_sdk.model.keys import PrivateKey
from device_sdk.model.urls import shown_url, without_query
from device_sdk.protocols.cale.answers import ContentCheck, read_registration, read_resource, read_whoami
from device_sdk.protocols.cale.documents import Document
from device_sdk.protocols.cale.requests import WHOAMI, edge_origin, resource_request

_ELSEWHERE = ConnectionFacts("", "")
"""What is known of a connection that somebody else made."""


class CaleExchange:
    """One registration; no connection, no clock. Thread-safe, as it keeps nothing.

    Opening takes one operation of the key, which in hardware takes milliseconds: call it in a thread.

    Args:
        key: the registered key; software, token or TPM.
        guid: of the registration.
        origin: where the key was registered, "https://HOST[:PORT]".
        policy: the algorithms that are accepted.
        told: what was agreed on at registration (CaleRegistration.algorithms), if that is known; others are not accepted.
        encrypted_errors: whether a plaintext `{"error": 502}` is an error of a server behind the edge device, as with the
            reference servers; False for services whose own documents look like that.

    Raises:
        ConfigurationError: not an https origin, or a policy without a cipher that was agreed on.
        LocalProtocolError: not a GUID.
    """

    def __init__(
        self,
        key: PrivateKey,
        guid: str,
        origin: str,
        *,
        policy: DecryptionPolicy = EVERYTHING,
        told: Collection[str] | None = None,
        encrypted_errors: bool = True,
    ) -> None:
        self._key = key
        self._origin = edge_origin(origin)
        self._guid = guid
        self._policy = policy.within(told)
        self._encrypted_errors = encrypted_errors
        self.request("/")

    @property
    def origin(self) -> str:
        """Where the headers may be sent."""
        return self._origin

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries beside what HTTP needs."""
        return dict(self.request("/").headers)

    def request(self, path: str, method: str = "GET") -> HttpRequest:
        """A request as data: method, target and headers; raises LocalProtocolError as `resource_request`."""
        return resource_request(path, self._guid, method=method)

    def url(self, path: str) -> str:
        """The absolute URL of a path, percent-encoded; LocalProtocolError for what is none."""
        return self._origin + self.request(path).target

    def open(
        self,
        status_code: int,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        *,
        path: str = "/",
        check: ContentCheck | None = None,
    ) -> bytes:
        """The plaintext of an answer.

        Args:
            status_code: the three digits.
            headers: as they came; duplicates may be joined or dropped (CALE-11).
            body: after transfer decoding; the caller bounds it.
            path: what was asked for, for errors.
            check: says whether the plaintext is what was asked for (CALE-09).

        Raises:
            NotForUsError: decoy, revoked, unknown, altered, or refused by `check`.
            BehindEdgeError: it opened to an error of a server behind the edge device.
            HttpStatusError, RedirectRefusedError: the edge device refused.
            KeyStoreError: the key could not be used.
        """
        return self.open_document(status_code, headers, body, path=path, check=check).content

    def open_document(
        self,
        status_code: int,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        *,
        path: str = "/",
        check: ContentCheck | None = None,
    ) -> Document:
        """The same with what the server behind the edge device said about it, its media type among it."""
        answer = self._answer(status_code, headers, body, path)
        return read_resource(answer, self._key, check, self._policy, encrypted_errors=self._encrypted_errors)

    def open_whoami(self, status_code: int, headers: Iterable[tuple[str, str]], body: bytes) -> x509.Certificate:
        """The certificate in an answer to GET /whoami; it is for our key. Raises as `open`."""
        return read_whoami(self._answer(status_code, headers, body, WHOAMI), self._key, self._policy)

    def _answer(self, status_code: int, headers: Iterable[tuple[str, str]], body: bytes, path: str) -> HttpResponse:
        return HttpResponse(status_code, tuple(headers), body, without_query(self.url(path)), _ELSEWHERE)


def open_registration(
    status_code: int,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    key: PrivateKey,
    url: str,
    *,
    policy: DecryptionPolicy = EVERYTHING,
) -> str:
    """The GUID in an answer to `registration_request`, for programs with an I/O of their own.

    Raises:
        NotForUsError: the answer holds no GUID that this key can read.
        AuthenticationRequiredError, HttpStatusError, RedirectRefusedError: the edge device refused.
    """
    return read_registration(HttpResponse(status_code, tuple(headers), body, shown_url(url), _ELSEWHERE), key, policy)
