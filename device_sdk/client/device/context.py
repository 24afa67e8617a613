"""What every step of an enrolment or renewal needs."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_sdk.client.est import Clock
from device_sdk.errors import KeyExistsError, KeyNotFoundError, StoreCorruptError
from device_sdk.keystores import registry
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.credentials import Credentials
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import SecretProvider
from device_sdk.state import StateDirectory
from device_sdk.transports.base import Timeouts


@dataclass(frozen=True)
class Connection:
    """How the server is reached."""

    credentials: Credentials | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    proxy: str | None = None


@dataclass(frozen=True)
class Context:
    """One device: where its state is, who knows its PINs, what time it is."""

    state: StateDirectory
    pin: SecretProvider | None
    clock: Clock

    def open_key(self, uri: str | KeyUri) -> DeviceKey:
        """Open a key."""
        return registry.open_key(uri, pin=self.pin)

    def key_exists(self, uri: str | KeyUri) -> bool:
        """Whether a key of that name is there."""
        return bool(registry.list_keys(uri, pin=self.pin))

    def create_key(self, uri: str | KeyUri, key_type: KeyType, *, resumed: bool) -> DeviceKey:
        """Make the key the journal announced, or find it made.

        Args:
            uri: its name; the journal says that a key of this name is ours.
            key_type: what it has to be.
            resumed: an earlier run may have made it; one of another type, or half a key, is replaced.

        Raises:
            KeyExistsError: another key of that name appeared in the meantime.
        """
        try:
            return registry.create_key(uri, key_type, reuse=resumed, pin=self.pin)
        except (KeyExistsError, StoreCorruptError):
            if not resumed:
                raise
        self.delete_key(uri)
        return registry.create_key(uri, key_type, pin=self.pin)

    def delete_key(self, uri: str | KeyUri) -> None:
        """Destroy a key; nothing happens if there is none."""
        try:
            registry.delete_key(uri, pin=self.pin)
        except KeyNotFoundError:
            return
