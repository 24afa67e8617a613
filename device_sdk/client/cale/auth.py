"""CALE for programs that use requests: `session.auth = CaleAuth(key, guid, origin=...)`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Self

import requests
from cryptography import x509
from requests.auth import AuthBase

from device_sdk.client.cale.answering import Answers
from device_sdk.client.cale.application import CaleApplication
from device_sdk.client.cale.client import CaleClient
from device_sdk.client.cale.credential import Credential, CredentialSource, FixedCredential, StateCredential
from device_sdk.client.cale.options import AnswerOptions
from device_sdk.client.cale.plan import DEFAULT_NAME
from device_sdk.client.cale.redirects import https_origin
from device_sdk.errors import ConfigurationError, LocalProtocolError, NotForUsError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import SecretProvider
from device_sdk.model.trust import ServerTrust
from device_sdk.model.urls import has_userinfo, shown_url
from device_sdk.protocols.cale.answers import read_plaintext
from device_sdk.protocols.cale.requests import READ_ONLY_METHODS, WHOAMI
from device_sdk.protocols.cale.revocation import RevocationPolicy, RevocationWatch
from device_sdk.state import StateDirectory
from device_sdk.wire.cale import GUID_HEADER, is_guid, parse_certificate

SecondCredential = Callable[[requests.PreparedRequest], requests.PreparedRequest]
"""What proves more than a GUID does: any auth object of requests."""


class CaleAuth(AuthBase):
    """Sends the GUID to its own origin and decrypts what comes back; everything else of the session stays as it is.

    For requests to the registered origin: only GET and HEAD, the header CALE-GUID is added, and every answer must be an
    encrypted message for this key, else the call raises NotForUsError (CALE-10). `response.content`, `.text` and `.json()`
    then give the plaintext. Headers that describe the envelope are removed. Where the server writes whole responses, status,
    Content-Type, ETag and what else says something about the content are those of the server behind the edge device, and
    redirects of it are followed. Otherwise nothing says what is inside, not the `text/plain;charset=UTF-8` that the draft prints
    before every envelope, so the program has to know. `.text` is read as UTF-8 if the plaintext is that and nothing else is
    said. Another second Content-Type stays. Content-Length is that of the plaintext. Refusals (400 to 599) are handed
    over as they are unless they say that they are encrypted; answers that have no content (204, 304, and HEAD,
    whose status then says nothing of the path) stay so, and redirects lose theirs.

    An error of a server behind the edge device arrives encrypted, in a success (in a whole response, or as `{"error": 502}`, a
    convention of the reference servers). The response then has that status_code, and `raise_for_status` raises;
    `encrypted_errors=False` takes the second for a document.

    With `stream=True` memory stays bounded whatever the size: the answer waits, still encrypted, in a temporary file
    without a name until all of it was checked; only then is plaintext handed over, by `iter_content` or `raw.read`.

    Requests to other https origins are left alone. A redirect to one loses the GUID, and what comes from there is not
    decrypted: `response.url` says where from. What comes from the registered origin after such a round has to be encrypted.
    A Location that can be read in more than one way is refused, any other made absolute. http:// is refused. Trust and TLS
    are the session's own; for a device's anchors and hardware keys mount
    device_sdk.transports.https.adapter.HardwareTlsAdapter on the origin; its `total_s` ends what drips. Retries that a program configures there repeat
    what failed on the network; an answer that does not open is never asked for again. Thread-safe.

    Args:
        key: the registered key; software, token or TPM.
        guid: of the registration.
        origin: where the key was registered, "https://HOST[:PORT]"; a GUID is never sent anywhere else.
        methods: the methods that may be used with the GUID. Others than GET and HEAD need a second credential (CALE-06):
            `second`, or an Authorization header of the request.
        second: added to requests with such methods: another auth object of requests.
        revocation: when answers that are not for us are taken for a revocation; see `suspects_revocation`.
        told: as CaleClient's.
        options: further arguments of AnswerOptions: `check`, `limit_bytes`, `stream_limit_bytes`, `spool_directory`,
            `policy`, `encrypted_errors`.

    Raises:
        ConfigurationError: no GUID, or not an https origin.
    """

    def __init__(
        self,
        key: PrivateKey,
        guid: str,
        *,
        origin: str,
        methods: Collection[str] = READ_ONLY_METHODS,
        second: SecondCredential | None = None,
        revocation: RevocationPolicy | None = None,
        told: Collection[str] | None = None,
        **options: Any,
    ) -> None:
        if not is_guid(guid):
            raise ConfigurationError("this is not the GUID of a registration")
        agreed = None if told is None else tuple(told)
        self._configure(FixedCredential(Credential(key, guid, agreed)), origin, methods, second, revocation, **options)

    def _configure(
        self,
        source: CredentialSource,
        origin: str,
        methods: Collection[str] = READ_ONLY_METHODS,
        second: SecondCredential | None = None,
        revocation: RevocationPolicy | None = None,
        **options: Any,
    ) -> None:
        own_origin = https_origin(origin)
        if has_userinfo(origin):
            raise ConfigurationError(f"{shown_url(origin)}: an origin holds no user name and no password")
        if own_origin is None:
            raise ConfigurationError(
                f"{shown_url(origin)}: CALE runs over https only", hint="https://HOST or https://HOST:PORT"
            )
        self._source = source
        self._origin = own_origin
        self._methods = frozenset(methods)
        self._second = second
        self._watch = RevocationWatch(revocation or RevocationPolicy())
        self._answers = Answers(own_origin, source, self._watch, AnswerOptions(**options))

    @classmethod
    def from_state(
        cls,
        state: str | os.PathLike[str] | StateDirectory,
        name: str = DEFAULT_NAME,
        *,
        pin: SecretProvider | None = None,
        allow_imported: bool = False,
        **options: Any,
    ) -> Self:
        """With a registration and a key that the state directory knows; a new one there is used from the next request on.

        Args:
            state: the state directory.
            name: of the application.
            pin: asked for the key's PIN where its URI names none. The key stays open until `close`.
            allow_imported: also a key that was put into its hardware from outside; see KeyStore.open.
            options: all but `key`, `guid` and `origin` of the class.

        Raises:
            ConfigurationError: there is no registration of that name.
            StateError, KeyStoreError: it, or its key, cannot be opened.
        """
        source = StateCredential(CaleApplication(state, name, pin=pin, allow_imported=allow_imported))
        auth = cls.__new__(cls)
        auth._configure(source, source.origin, **options)
        return auth

    @classmethod
    def register(cls, edge_url: str, trust: ServerTrust, key: PrivateKey, spec: CsrSpec, **client: Any) -> Self:
        """Register the key now and use the registration; to keep it use CaleApplication and `from_state`.

        Args:
            edge_url: the edge device; its origin becomes that of the registration.
            trust: whom to trust.
            key: the key to register.
            spec: as CaleClient.register.
            client: further arguments of CaleClient, a proof of identity among them.

        Raises:
            DeviceSdkError: as CaleClient.register.
        """
        with CaleClient(edge_url, trust, key, **client) as session:
            registration = session.register(spec)
        return cls(key, registration.guid, origin=registration.origin, told=registration.algorithms)

    def close(self) -> None:
        """Close the key if `from_state` opened it; a key that was given stays open."""
        self._source.close()

    @property
    def origin(self) -> str:
        """Where the GUID goes, "https://HOST:PORT"."""
        return self._origin

    @property
    def suspects_revocation(self) -> bool:
        """Whether so many answers in a row were not for us that the registration is probably gone. Asks nobody."""
        return self._watch.suspected

    def is_revoked(self, session: requests.Session) -> bool:
        """Whether to register again: `suspects_revocation`, and /whoami says so too if the policy wants it asked.

        Raises:
            requests.RequestException: /whoami could not be asked.
        """
        if not self._watch.suspected or not self._watch.policy.whoami:
            return self._watch.suspected
        try:
            self.whoami(session)
        except NotForUsError:
            return True
        return False

    def whoami(self, session: requests.Session, **options: Any) -> x509.Certificate:
        """The certificate the authorization server makes of this registration (section 4.3); it is for our key (CALE-09).

        Args:
            session: what carries the request.
            options: further arguments of `Session.get`, a timeout for example.

        Raises:
            NotForUsError: the registration is revoked or unknown, or the answer is a decoy.
            requests.RequestException: network, or a status that means no.
        """
        # elsewhere it would be opened as any other answer, and what it says be looked at outside of slot and watch
        whole = {"stream": False, "allow_redirects": False}
        response = session.get(self._origin + WHOAMI, auth=self, **options | whole)
        response.raise_for_status()
        # it has been opened and checked with the key that the request went out for; there may be another one by now
        content, url = b"" if response.is_redirect else response.content, shown_url(str(response.url))
        del response  # a traceback keeps the variables of its frames
        return read_plaintext(content, url, parse_certificate)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the GUID; called by requests.

        Raises:
            LocalProtocolError: http://, a method that is not allowed, or one without a second credential.
            DeviceSdkError: `from_state` only: the registration or its key is not there any more.
        """
        url = request.url or ""
        origin = https_origin(url)
        if origin is None:
            raise LocalProtocolError(f"{shown_url(url)}: CALE runs over https only (CALE-07)")
        if origin != self._origin:
            return request
        if request.method not in READ_ONLY_METHODS:
            request = self._with_second(request)
        credential = self._source.current()
        request.headers[GUID_HEADER] = credential.guid
        hook = partial(self._answers, credential)
        request.register_hook("response", hook)  # type: ignore[no-untyped-call]  # types-requests has no types for it
        return request

    def _with_second(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if request.method in self._methods and self._second is not None:
            return self._second(request)
        if request.method in self._methods and "Authorization" in request.headers:
            return request
        raise LocalProtocolError(
            f"{request.method} {shown_url(request.url or '')}: a GUID alone reads and does nothing else (CALE-06)",
            hint="allow the method (methods=) and give a second credential (second=, or an Authorization header)",
        )

    def __repr__(self) -> str:
        return f"CaleAuth({self._origin})"
