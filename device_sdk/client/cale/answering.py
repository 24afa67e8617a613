"""What CaleAuth does with every answer of requests: open it, or say that it is not for us."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests

from device_sdk.client.cale.application import REGISTERED_AGAIN
from device_sdk.client.cale.credential import Credential, CredentialSource
from device_sdk.client.cale.opened import content_types, drop_content, replace_content, replace_stream
from device_sdk.client.cale.options import AnswerOptions
from device_sdk.client.cale.redirects import https_origin, pin_redirect
from device_sdk.client.cale.slots import FAILURE_SLOTS
from device_sdk.client.cale.streaming import open_in_pieces
from device_sdk.errors import KeyNotFoundError, KeyStoreError, NotForUsError, ResponseTooLargeError
from device_sdk.model.urls import shown_url
from device_sdk.protocols.cale.answers import open_document, own_certificate, policy_hint
from device_sdk.protocols.cale.requests import READ_ONLY_METHODS, WHOAMI
from device_sdk.protocols.cale.revocation import RevocationWatch
from device_sdk.wire.cale import GUID_HEADER, says_encrypted

_BODILESS = (204, 304)  # the HTTP library reads no content after them, whatever is sent
_CHUNK_BYTES = 64 * 1024
_PERHAPS_DONE = "the change may have been made all the same: look before you ask for it again"
_SEEN = "_device_sdk_cale_seen"


class Answers:
    """The response hook of one CaleAuth. Thread-safe.

    Args:
        origin: where the GUID goes, as from `https_origin`.
        source: where credentials come from.
        watch: counts answers that are not for us.
        options: limits and checks.
    """

    def __init__(self, origin: str, source: CredentialSource, watch: RevocationWatch, options: AnswerOptions) -> None:
        self._origin = origin
        self._source = source
        self._watch = watch
        self._options = options

    def __call__(self, credential: Credential, response: requests.Response, **sending: Any) -> requests.Response:
        """Read the answer to a request that began with this credential.

        requests copies hooks to wherever it is redirected: what comes from other origins is left as it is, what comes
        from our own again, though asked for without the GUID, has to be encrypted like everything else from there.

        Raises:
            NotForUsError, ResponseTooLargeError, RedirectRefusedError, KeyStoreError: see CaleAuth.
        """
        sent = response.request.headers.get(GUID_HEADER)
        if sent not in (None, credential.guid) or hasattr(response, _SEEN):
            return response
        setattr(response, _SEEN, True)
        home, stream = https_origin(str(response.url)) == self._origin, bool(sending.get("stream"))
        if response.is_redirect and (not home or self._pinned(response)):
            self._discard(response)
        elif home and _must_be_encrypted(response):
            self._open_watched(response, credential, stream=stream)
            if response.is_redirect:  # of the server behind the edge device
                drop_content(response)
                self._pinned(response)
        elif home:  # a refusal, streamed or not: as bounded as what is no refusal
            response._content = b"".join(self._bounded(response, self._options.limit_bytes))
        return response

    def _pinned(self, response: requests.Response) -> bool:
        """Whether the redirect leads anywhere; the GUID stays behind if that is elsewhere.

        requests copies the headers of this very request.
        """
        leads_to = pin_redirect(response)
        if leads_to != self._origin:
            response.request.headers.pop(GUID_HEADER, None)
        return leads_to is not None

    def _discard(self, response: requests.Response) -> None:
        """Take the body of a redirect away: nobody encrypted it, and requests would read all of it into memory."""
        for _ in self._bounded(response, self._options.limit_bytes):
            pass
        response._content = b""

    def _open_watched(self, response: requests.Response, credential: Credential, *, stream: bool) -> None:
        try:
            self._open(response, credential, stream=stream)
        except NotForUsError as error:
            self._watch.not_for_us()
            error.hint = policy_hint(self._options.policy, credential.told) or error.hint
            if response.request.method not in READ_ONLY_METHODS:
                error.hint = f"{_PERHAPS_DONE}; {error.hint}"
            raise
        except KeyStoreError as error:
            if not self._source.replaced(credential):
                raise
            raise _registered_again(response) from error
        self._watch.opened()

    def _open(self, response: requests.Response, credential: Credential, *, stream: bool) -> None:
        key, options, url = credential.key, self._options_for(response, credential), shown_url(str(response.url))
        # A check looks at the whole plaintext, which then fits into memory anyway.
        if not stream or options.check is not None:
            body, errors = b"".join(self._bounded(response, options.limit_bytes)), options.encrypted_errors
            with FAILURE_SLOTS.one(len(body)):
                found = open_document(body, key, url, options.checked, encrypted_errors=errors, policy=options.policy)
            replace_content(response, found)
            return
        limit = options.stream_limit_bytes
        try:
            document, plaintext, spool = open_in_pieces(
                self._bounded(response, limit),
                key,
                url,
                limit_bytes=limit,
                policy=options.policy,
                directory=options.spool_directory,
                encrypted_errors=options.encrypted_errors,
            )
        except BaseException:
            response.close()
            raise
        replace_stream(response, document, plaintext, spool)

    def _options_for(self, response: requests.Response, credential: Credential) -> AnswerOptions:
        """What /whoami says is checked like everything else: in the time and the count of what is not for us."""
        options = replace(self._options, policy=self._options.policy.within(credential.told))
        if urlsplit(str(response.url)).path != WHOAMI:
            return options
        return replace(options, check=partial(own_certificate, key=credential.key))

    def _bounded(self, response: requests.Response, limit_bytes: int) -> Iterator[bytes]:
        size = 0
        for piece in response.iter_content(_CHUNK_BYTES):
            size += len(piece)
            if size > limit_bytes:
                response.close()
                url = shown_url(str(response.url))
                raise ResponseTooLargeError(
                    f"{url}: the answer is larger than {limit_bytes} bytes",
                    hint="allow more (--max-bytes), if such an answer is expected",
                    url=url,
                    limit_bytes=limit_bytes,
                )
            yield piece


def _must_be_encrypted(response: requests.Response) -> bool:
    """Whether this final answer is of no use in the clear: all but refusals, which requests does not take for success."""
    if response.request.method == "HEAD" or response.status_code in _BODILESS:
        return False
    return not 400 <= response.status_code < 600 or any(map(says_encrypted, content_types(response)))


def _registered_again(response: requests.Response) -> KeyNotFoundError:
    url = shown_url(str(response.url))
    return KeyNotFoundError(
        f"{url}: registered again while this request was under way, and the key of its answer is gone",
        hint=REGISTERED_AGAIN,
    )
