"""The CALE client: register a key, read resources, ask who the authorization server thinks we are."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from cryptography import x509

from device_sdk.client.cale.negotiation import agreed_policy, negotiating_spec
from device_sdk.client.cale.slots import FAILURE_SLOTS
from device_sdk.errors import BehindEdgeError, LocalProtocolError, NotForUsError
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.credentials import Credentials
from device_sdk.model.csr import CsrSpec
from device_sdk.model.decryption import ALGORITHMS, EVERYTHING, DecryptionPolicy
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.protocols.cale.answers import (
    ContentCheck,
    policy_hint,
    read_registration,
    read_resource,
    read_whoami,
    spki,
)
from device_sdk.protocols.cale.requests import (
    MAX_ANSWER_BYTES,
    edge_origin,
    proof_of_identity,
    registration_request,
    resource_request,
    whoami_request,
)
from device_sdk.protocols.cale.revocation import RevocationPolicy, RevocationWatch
from device_sdk.state import CaleRegistration
from device_sdk.transports.base import Timeouts
from device_sdk.transports.factory import open_transport
from device_sdk.wire.csr import build_csr
from device_sdk.wire.csr_capabilities import SMIME_CAPABILITIES


@dataclass(frozen=True)
class CaleResponse:
    """A decrypted answer.

    Attributes:
        content: the plaintext.
        url: where it came from, without its query.
        headers: what the server behind the edge device said about the content, names in lower case; empty where answers have
            the draft's form, which says nothing.
    """

    content: bytes = field(repr=False)
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def media_type(self) -> str | None:
        """The Content-Type with its parameters; None where nothing says it."""
        return self.headers.get("content-type")


class CaleClient:
    """One edge device, one trust decision, one registered key; the connection is kept between requests.

    TLS is mandatory (CALE-07), no redirect is followed, and a request is sent once (CALE-10).

    Args:
        edge_url: the edge device, "https://HOST" or "https://HOST:PORT".
        trust: whom to trust.
        key: the registered key, or the one to register; software, token or TPM.
        guid: of the registration; `register` sets it.
        identity: TLS client certificate and its key, as proof of identity where the edge device accepts one.
        credentials: user name and password, as proof of identity for `register`; sent only to an authorized server.
        bearer: a token for `register` instead of credentials.
        timeouts: limits of one exchange.
        proxy: proxy URL, "" for none, None for what the environment says.
        policy: the algorithms that are accepted; `register` tells the server (SMIMECapabilities), and a message that uses
            others is not for us.
        negotiate: whether `register` says so, and that answers may be whole responses with status and media type; False for servers that refuse requests with extensions.
        revocation: when answers that are not for us are taken for a revocation; see `suspects_revocation`.
        encrypted_errors: whether a plaintext `{"error": 502}` is an error of a server behind the edge device, as with the
            reference servers; False for services whose own documents look like that.
        told: what was agreed on at the registration that `guid` is of (CaleRegistration.algorithms), if that is known: other
            algorithms are not accepted, and errors say where the policy asks for less.

    Raises:
        ConfigurationError: a URL, a proof of identity or a trust that cannot work, or a policy without a cipher that was agreed
            on.
    """

    def __init__(  # noqa: PLR0913  # every argument but the first three has a default
        self,
        edge_url: str,
        trust: ServerTrust,
        key: PrivateKey,
        *,
        guid: str | None = None,
        identity: TlsIdentity | None = None,
        credentials: Credentials | None = None,
        bearer: Secret | None = None,
        timeouts: Timeouts | None = None,
        proxy: str | None = None,
        policy: DecryptionPolicy = EVERYTHING,
        negotiate: bool = True,
        revocation: RevocationPolicy | None = None,
        encrypted_errors: bool = True,
        told: Collection[str] | None = None,
    ) -> None:
        edge_origin(edge_url)
        self._key = key
        self._guid = guid
        proof_of_identity(credentials, bearer)
        self._credentials, self._bearer = credentials, bearer
        self._policy, self._negotiate = policy, negotiate
        self._accepted = policy.within(told)
        self._encrypted_errors = encrypted_errors
        self._told = None if told is None else tuple(told)
        self._watch = RevocationWatch(revocation or RevocationPolicy())
        self._transport = open_transport(
            edge_url, trust, identity=identity, timeouts=timeouts or Timeouts(), proxy=proxy
        )

    @property
    def origin(self) -> str:
        """The edge device's origin; the GUID belongs to it and to no other (CALE-13)."""
        return self._transport.origin

    @property
    def guid(self) -> str | None:
        """The registration in use, or None."""
        return self._guid

    def register(self, spec: CsrSpec, *, key_uri: str | None = None) -> CaleRegistration:
        """Register the key (section 4.1 of the draft); later requests use the new registration.

        Args:
            spec: subject and names of the CSR; the authorization server may take the identity from elsewhere. Unless it
                has that extension itself, SMIMECapabilities says what this key and the policy allow.
            key_uri: what opens the key again; by default the key's own URI, empty for a key that has none.

        Returns:
            What to keep (device_sdk.state.StateDirectory.save_cale_registration).

        Raises:
            ConfigurationError: this key decrypts nothing that the policy accepts.
            AuthenticationRequiredError: no proof of identity, or it was refused.
            NotForUsError: the answer holds no GUID that this key can read.
            HttpStatusError, TransportError, VerificationError, KeyStoreError: as everywhere.
        """
        authorization = proof_of_identity(self._credentials, self._bearer)
        saying = negotiating_spec(spec, self._key, self._policy) if self._negotiate else spec
        request = registration_request(build_csr(saying, self._key), authorization)
        response = self._transport.send(request)
        with FAILURE_SLOTS.one(len(response.body)):
            self._guid = guid = read_registration(response, self._key, self._policy)
        self._watch.opened()
        self._agree(spec, response.body)
        if key_uri is None:
            key_uri = self._key.info.uri if isinstance(self._key, DeviceKey) else ""
        digest = hashlib.sha256(spki(self._key.public_key())).hexdigest()
        return CaleRegistration(guid, key_uri, self.origin, datetime.now(UTC), key_sha256=digest, algorithms=self._told)

    def get(self, path: str, *, check: ContentCheck | None = None, limit_bytes: int = MAX_ANSWER_BYTES) -> CaleResponse:
        """Read a resource and decrypt it (section 4.2).

        Args:
            path: path and query on the edge device.
            check: raises, whatever it likes, if the plaintext is not what was asked for; json.loads will do (CALE-09).
                With AES-CBC nothing else shows that an answer was altered behind the edge device.
            limit_bytes: the largest acceptable answer, still encrypted.

        Raises:
            LocalProtocolError: not registered.
            NotForUsError: revoked, unknown, a decoy, or refused by `check`; the protocol does not tell them apart.
            BehindEdgeError: the answer is for us, and is an error of a server behind the edge device.
            HttpStatusError, RedirectRefusedError, TransportError, VerificationError, KeyStoreError: as everywhere.
        """
        response = self._transport.send(resource_request(path, self._registered(), limit_bytes=limit_bytes))
        with self._watched(), FAILURE_SLOTS.one(len(response.body)):
            found = read_resource(response, self._key, check, self._accepted, encrypted_errors=self._encrypted_errors)
        return CaleResponse(found.content, response.url, dict(found.headers))

    def whoami(self) -> x509.Certificate:
        """The certificate the authorization server makes of this registration (section 4.3); it is for our key.

        Raises: as `get`.
        """
        response = self._transport.send(whoami_request(self._registered()))
        with self._watched(), FAILURE_SLOTS.one(len(response.body)):
            return read_whoami(response, self._key, self._accepted)

    @property
    def suspects_revocation(self) -> bool:
        """Whether so many answers in a row were not for us that the registration is probably gone. Asks nobody."""
        return self._watch.suspected

    def is_revoked(self) -> bool:
        """Whether to register again: `suspects_revocation`, and /whoami says so too if the policy wants it asked.

        Raises:
            HttpStatusError, TransportError, VerificationError, KeyStoreError: /whoami could not be asked.
        """
        if not self._watch.suspected or not self._watch.policy.whoami:
            return self._watch.suspected
        try:
            self.whoami()
        except NotForUsError:
            return True
        return False

    def close(self) -> None:
        """Close the connection; a later request opens a new one."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Count what is not for us; an encrypted error is."""
        try:
            yield
        except NotForUsError as error:
            self._watch.not_for_us()
            error.hint = policy_hint(self._policy, self._told) or error.hint
            raise
        except BehindEdgeError:
            self._watch.opened()
            raise
        self._watch.opened()

    def _agree(self, spec: CsrSpec, answer: bytes) -> None:
        """What the server may use from now on: anything if it was told nothing, what it chose itself included."""
        agreed = agreed_policy(answer, self._policy)
        if any(one.oid.dotted_string == SMIME_CAPABILITIES for one in spec.extensions):
            self._told = None if agreed == self._policy else agreed.algorithms
        else:
            self._told = agreed.algorithms if self._negotiate else ALGORITHMS
        self._accepted = self._policy.within(self._told)

    def _registered(self) -> str:
        if self._guid is None:
            raise LocalProtocolError(f"{self.origin}: no GUID", hint="register first")
        return self._guid
