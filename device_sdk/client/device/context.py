"""What every step of an enrolment or renewal needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509

from device_sdk.client.device.current import enrolled
from device_sdk.client.device.generation import absolute
from device_sdk.client.est import Clock
from device_sdk.keystores import registry
from device_sdk.keystores.base import Announce, KeyStore
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.counter import MonotonicCounter
from device_sdk.model.held_key import HeldKey
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.keys import KeyInfo, KeyType
from device_sdk.model.secret import SecretProvider
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.state import Endpoint, StateDirectory


@dataclass(frozen=True)
class Context:
    """One run for one device: where its state is, who knows its PINs, what time it is, and its keystores.

    A keystore stays open for the whole run: a token is logged in to once. Some tokens rewrite themselves at a login.

    Attributes:
        state: the state directory.
        pin: asked for PINs that a key URI does not lead to.
        clock: the time.
        given: the key URI of the plan, or None; the journal has it without its PIN, so the run takes the PIN from here.
        allow_imported: whether the device may have a key that was put into its hardware from outside.
        main: the device whose certificate authenticates this one, which is its second, for key establishment, or that of a
            key of the server's making; else None.
        establishes: whether it is the one for key establishment.
    """

    state: StateDirectory
    pin: SecretProvider | None
    clock: Clock
    given: KeyUri | None = None
    allow_imported: bool = False
    main: Context | None = None
    establishes: bool = False
    _stores: dict[str, KeyStore[Any]] = field(default_factory=dict, repr=False, compare=False)

    def lists(self) -> tuple[x509.CertificateRevocationList, ...]:
        """The revocation lists that are kept; raises as KeptPackages.lists."""
        return (self.main or self).state.packages.lists()

    def beside(self, state: StateDirectory, key_uri: str | None = None) -> Context:
        """The second certificate of this device; the keystores are the same."""
        given = self.given if key_uri is None else absolute(key_uri)
        return Context(state, self.pin, self.clock, given, self.allow_imported, self, True, self._stores)

    def holding(self, state: StateDirectory, key_uri: str | KeyUri | None = None) -> Context:
        """The certificate of a key that the server made; the keystores are the same."""
        given = self.given if key_uri is None else absolute(key_uri)
        return Context(state, self.pin, self.clock, given, True, self, False, self._stores)

    def service(self) -> tuple[Endpoint, ServerTrust]:
        """Where an enrolled device has its certificates from, and what that server is trusted by.

        Raises:
            StateError: it is not enrolled, or its state cannot be read.
        """
        there = (self.main or self).state
        state = there.load()
        _, endpoint = enrolled(there, state)
        return endpoint, ServerTrust(there.anchors(state.anchors or ""), endpoint.implicit)

    @contextmanager
    def identity(self) -> Iterator[TlsIdentity]:
        """What an enrolled device shows to servers: always the certificate for signatures. Raises as `service`, and open_key."""
        holder = self.main or self
        current, _ = enrolled(holder.state, holder.state.load())
        with holder.open_key(current.key_uri) as key:
            yield TlsIdentity(holder.state.chain(current.certificate), key)  # type: ignore[arg-type]  # every DeviceKey is one of cryptography's keys

    @contextmanager
    def running(self) -> Iterator[Context]:
        """Close the keystores at the end."""
        try:
            yield self
        finally:
            while self._stores:
                self._stores.popitem()[1].close()

    def open_key(self, uri: str | KeyUri, *, made_here: bool = False) -> DeviceKey:
        """Open a key; the caller closes it. One that is to be `made_here` is never an imported one."""
        store, parsed = self._store(uri)
        return store.open(parsed, allow_imported=self.allow_imported and not made_here)

    def opening_key(self, uri: str | KeyUri) -> DeviceKey | HeldKey:
        """Open what opens packages: a key pair, or a symmetric key in a token or TPM; the caller closes it."""
        store, parsed = self._store(uri)
        return store.open_secret(parsed) if store.holds_secret(parsed) else self.open_key(parsed)

    def about(self, uri: str | KeyUri) -> dict[str, str | list[str]]:
        """What the token or TPM of a key says of itself; see KeyStore.about."""
        store, parsed = self._store(uri)
        return store.about(parsed)

    def counter(self, uri: str | KeyUri) -> MonotonicCounter:
        """The monotonic counter of that name."""
        store, parsed = self._store(uri)
        return store.counter(parsed)

    def keys(self, uri: str | KeyUri) -> tuple[KeyInfo, ...]:
        """The keys of that name."""
        store, parsed = self._store(uri)
        return store.list(parsed)

    def key_exists(self, uri: str | KeyUri) -> bool:
        """Whether a key of that name is there."""
        return bool(self.keys(uri))

    def create_key(
        self, uri: str | KeyUri, key_type: KeyType, *, reuse: bool = False, announce: Announce | None = None
    ) -> DeviceKey:
        """Make a key, see KeyStore.create; the caller closes it."""
        store, parsed = self._store(uri)
        return store.create(parsed, key_type, reuse=reuse, announce=announce)

    def delete_key(self, uri: str | KeyUri) -> None:
        """Destroy a key, whosever it is: see provenance.delete_own for one that is ours."""
        store, parsed = self._store(uri)
        store.delete(parsed)

    def require_certificate_place(self, uri: str | KeyUri) -> None:
        """Make sure that a certificate could be kept beside a key; see KeyStore.require_certificate_place."""
        store, parsed = self._store(uri)
        store.require_certificate_place(parsed)

    def store_certificate(self, uri: str | KeyUri, certificate: x509.Certificate) -> None:
        """Keep a certificate beside its key; see KeyStore.store_certificate."""
        store, parsed = self._store(uri)
        store.store_certificate(parsed, certificate)

    def _store(self, uri: str | KeyUri) -> tuple[KeyStore[Any], KeyUri]:
        parsed = self.resolved(uri)
        store = self._stores.get(parsed.scheme)
        if store is None:
            store, _ = registry.open_store(parsed, pin=self.pin)
            self._stores[parsed.scheme] = store
        return store, parsed

    def resolved(self, uri: str | KeyUri) -> KeyUri:
        """The absolute URI, with the PIN of the plan's if it is the plan's key, or a key in its token, that is named."""
        parsed, given = absolute(uri), self.given
        if given is None or given.pin_value is None or parsed.pin_value is not None or parsed.pin_source is not None:
            return parsed
        if locked_by(parsed) != locked_by(given):
            return parsed
        return replace(parsed, pin_value=given.pin_value)  # type: ignore[type-var]  # every KeyUri is a dataclass


def locked_by(uri: KeyUri) -> str:
    """What the PIN of a URI unlocks, wherever the PIN is: the token, or the key itself."""
    from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

    if isinstance(uri, Pkcs11Uri):
        uri = replace(uri, label=None, key_id=None, object_type=None)
    return str(replace(uri, pin_source=None))  # type: ignore[type-var]  # every KeyUri is a dataclass
