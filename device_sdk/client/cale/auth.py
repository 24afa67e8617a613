"""CALE for programs that use requests: `session.auth = CaleAuth(key, guid, origin=...)`."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any, Self

import requests
from requests.auth import AuthBase
from requests.utils import get_encoding_from_headers

from device_sdk.client.cale.client import CaleClient
from device_sdk.client.cale.redirects import https_origin, pin_redirect
from device_sdk.errors import ConfigurationError, LocalProtocolError, ResponseTooLargeError
from device_sdk.keystores.keys import DeviceKey
from device_sdk.keystores.registry import open_key
from device_sdk.model.csr import CsrSpec
from device_sdk.model.http import MAX_RESPONSE_BYTES
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import SecretProvider
from device_sdk.model.trust import ServerTrust
from device_sdk.model.urls import has_userinfo, shown_url
from device_sdk.protocols.cale.answers import ContentCheck, open_answer
from device_sdk.protocols.cale.requests import READ_ONLY_METHODS
from device_sdk.state import StateDirectory
from device_sdk.wire.cale import GUID_HEADER, is_guid, says_encrypted, split_content_types

DEFAULT_NAME = "default"

_NO_CONTENT = (204, 205)
_CHUNK_BYTES = 64 * 1024
# What says something about the envelope and nothing about its content.
_ENVELOPE_HEADERS = (
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Encoding",
    "Content-Disposition",
    "MIME-Version",
)


class CaleAuth(AuthBase):
    """Sends the GUID to its own origin and decrypts what comes back; everything else of the session stays as it is.

    For requests to the registered origin: only GET and HEAD, the header CALE-GUID is added, and every successful answer
    must be an encrypted message for this key, else the call raises NotForUsError (CALE-10). `response.content`, `.text`
    and `.json()` then give the plaintext. Content-Type, Content-Encoding, -Transfer-Encoding, -Disposition and
    MIME-Version, which describe the envelope, are removed; if the server sent a second Content-Type beside the envelope's,
    as the draft does, it stays. Content-Length is that of the plaintext. Answers other than success (404, 502) are handed
    over as they are unless they say that they are encrypted.

    Requests to other https origins are left alone. A redirect to one loses the GUID, and what comes from there is not
    decrypted. A Location that can be read in more than one way is refused, any other made absolute. http:// is refused. Trust and TLS are the session's own; for a device's anchors and hardware keys mount
    device_sdk.transports.https.adapter.HardwareTlsAdapter on the origin.

    Args:
        key: the registered key; software, token or TPM.
        guid: of the registration.
        origin: where the key was registered, "https://HOST[:PORT]"; a GUID is never sent anywhere else.
        check: see CaleClient.get.
        limit_bytes: the largest acceptable answer, still encrypted.
        methods: the methods that may be used with the GUID. Add others only with a second credential (CALE-06).

    Raises:
        ConfigurationError: no GUID, or not an https origin.
    """

    def __init__(
        self,
        key: PrivateKey,
        guid: str,
        *,
        origin: str,
        check: ContentCheck | None = None,
        limit_bytes: int = MAX_RESPONSE_BYTES,
        methods: Collection[str] = READ_ONLY_METHODS,
    ) -> None:
        own_origin = https_origin(origin)
        if has_userinfo(origin):
            raise ConfigurationError(f"{shown_url(origin)}: an origin holds no user name and no password")
        if own_origin is None:
            raise ConfigurationError(
                f"{shown_url(origin)}: CALE runs over https only", hint="https://HOST or https://HOST:PORT"
            )
        if not is_guid(guid):
            raise ConfigurationError("this is not the GUID of a registration")
        self._key = key
        self._guid = guid
        self._origin = own_origin
        self._check = check
        self._limit_bytes = limit_bytes
        self._methods = frozenset(methods)
        self._own_key: DeviceKey | None = None

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
        """With a registration and a key that the state directory knows.

        Args:
            state: the state directory.
            name: of the registration.
            pin: asked for the key's PIN where its URI names none. The key stays open until `close`.
            allow_imported: also a key that was put into its hardware from outside; see KeyStore.open.
            options: `check`, `limit_bytes`, `methods`.

        Raises:
            ConfigurationError: there is no registration of that name.
            StateError, KeyStoreError: it, or its key, cannot be opened.
        """
        directory = state if isinstance(state, StateDirectory) else StateDirectory(state)
        registration = directory.cale_registration(name)
        if registration is None:
            raise ConfigurationError(
                f"{directory.path}: no CALE registration named {name!r}", hint="device-sdk cale register"
            )
        # also one of cryptography's keys
        key: Any = open_key(registration.key_uri, pin=pin, allow_imported=allow_imported)
        auth = cls(key, registration.guid, origin=registration.origin, **options)
        auth._own_key = key
        return auth

    @classmethod
    def register(cls, edge_url: str, trust: ServerTrust, key: PrivateKey, spec: CsrSpec, **client: Any) -> Self:
        """Register the key now and use the registration; to keep it use CaleClient.register and the state directory.

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
        return cls(key, registration.guid, origin=registration.origin)

    def close(self) -> None:
        """Close the key if `from_state` opened it; a key that was given stays open."""
        if self._own_key is not None:
            self._own_key.close()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the GUID; called by requests.

        Raises:
            LocalProtocolError: http://, or a method that is not allowed.
        """
        url = request.url or ""
        origin = https_origin(url)
        if origin is None:
            raise LocalProtocolError(f"{shown_url(url)}: CALE runs over https only (CALE-07)")
        if origin != self._origin:
            return request
        if request.method not in self._methods:
            raise LocalProtocolError(
                f"{request.method} {shown_url(url)}: a GUID alone reads and does nothing else (CALE-06)",
                hint="allow the method only if the request carries a second credential",
            )
        request.headers[GUID_HEADER] = self._guid
        request.register_hook("response", self._answered)  # type: ignore[no-untyped-call]  # types-requests has no types for it
        return request

    def _answered(self, response: requests.Response, **_options: Any) -> requests.Response:
        """The response hook. requests copies hooks to wherever it is redirected; this one acts where the GUID was sent."""
        if GUID_HEADER not in response.request.headers:
            return response
        if response.is_redirect:
            self._stay_at_home(response)
        elif self._must_be_encrypted(response):
            content = open_answer(self._bounded_body(response), self._key, shown_url(str(response.url)), self._parse)
            _replace_content(response, content)
        return response

    def _stay_at_home(self, response: requests.Response) -> None:
        """Take the GUID back if the redirect leads elsewhere; requests copies the headers of this very request."""
        if pin_redirect(response) != self._origin:
            response.request.headers.pop(GUID_HEADER, None)

    def _must_be_encrypted(self, response: requests.Response) -> bool:
        if response.request.method == "HEAD" or response.status_code in _NO_CONTENT:
            return False
        types = split_content_types([response.headers.get("Content-Type", "")])
        return 200 <= response.status_code < 300 or any(map(says_encrypted, types))

    def _bounded_body(self, response: requests.Response) -> bytes:
        pieces, size = [], 0
        for piece in response.iter_content(_CHUNK_BYTES):
            size += len(piece)
            if size > self._limit_bytes:
                response.close()
                url = shown_url(str(response.url))
                raise ResponseTooLargeError(
                    f"{url}: the answer is larger than {self._limit_bytes} bytes",
                    url=url,
                    limit_bytes=self._limit_bytes,
                )
            pieces.append(piece)
        return b"".join(pieces)

    def _parse(self, plaintext: bytes) -> bytes:
        if self._check is not None:
            self._check(plaintext)
        return plaintext

    def __repr__(self) -> str:
        return f"CaleAuth({self._origin})"


def _replace_content(response: requests.Response, content: bytes) -> None:
    """Make the plaintext the content of a response whose body has been read."""
    types = split_content_types([response.headers.get("Content-Type", "")])
    inner = [content_type for content_type in types if not says_encrypted(content_type)]
    for name in _ENVELOPE_HEADERS:
        response.headers.pop(name, None)
    if inner:
        response.headers["Content-Type"] = inner[0]
    response.headers["Content-Length"] = str(len(content))
    response._content = content
    response.encoding = get_encoding_from_headers(response.headers) or _text_encoding(content)


def _text_encoding(content: bytes) -> str | None:
    """UTF-8 if it is; requests would guess otherwise."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return None
    return "utf-8"
