"""The key and the GUID that are in use right now: fixed, or whatever the state directory has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from device_sdk.client.cale.application import CaleApplication
from device_sdk.client.cale.redirects import https_origin
from device_sdk.errors import ConfigurationError
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.forks import ForkLock
from device_sdk.model.keys import PrivateKey


@dataclass(frozen=True)
class Credential:
    """What one request is sent with and its answer is opened with.

    Attributes:
        key: the registered key.
        guid: of the registration.
        told: the algorithms that were agreed on, if that is known; others are not accepted.
    """

    key: PrivateKey = field(repr=False)
    guid: str = field(repr=False)
    told: tuple[str, ...] | None = None


class CredentialSource(Protocol):
    """Where requests get it from."""

    def current(self) -> Credential:
        """For the next request."""

    def replaced(self, credential: Credential) -> bool:
        """Whether the next request will be sent with another one."""

    def close(self) -> None:
        """Close what was opened for it."""


class FixedCredential:
    """One that the caller gave, and closes."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    def current(self) -> Credential:
        """Always the same."""
        return self._credential

    def replaced(self, credential: Credential) -> bool:
        """Never."""
        return credential.guid != self._credential.guid

    def close(self) -> None:
        """Nothing: the key is the caller's."""


class StateCredential:
    """An application's registration, looked up for every request: registered again by another process, it is followed.

    Requests that are under way keep theirs as long as there is its key: one in a file or a TPM has been read, one in a token
    is destroyed for every process by the one that registers again. The key before the last one is closed. Thread-safe.

    Args:
        application: whose.
    """

    def __init__(self, application: CaleApplication) -> None:
        self._application = application
        self._lock = ForkLock()
        self._opened: list[tuple[str, DeviceKey]] = []
        self._origin = application.registration.origin
        self.current()

    @property
    def origin(self) -> str:
        """Of the registration."""
        return self._origin

    def current(self) -> Credential:
        """For the next request.

        Raises:
            ConfigurationError: the registration is gone, or is one at another origin now.
            StateError: it cannot be read.
            KeyStoreError: its key cannot be opened.
        """
        found = self._application.registration
        if https_origin(found.origin) != https_origin(self._origin):
            raise ConfigurationError(
                f"the application is registered at {found.origin} now, no longer at {self._origin}",
                hint="make a new CaleAuth",
            )
        with self._lock:
            if not self._opened or self._opened[-1][0] != found.guid:
                self._opened.append((found.guid, self._application.open_key(found)))
                if len(self._opened) > 2:
                    self._opened.pop(0)[1].close()
            key: Any = self._opened[-1][1]  # also one of cryptography's keys
            return Credential(key, found.guid, found.algorithms)

    def replaced(self, credential: Credential) -> bool:
        """Whether there is another registration now."""
        return self._application.is_replaced(credential.guid)

    def close(self) -> None:
        """Close the keys; a later request opens one again."""
        with self._lock:
            while self._opened:
                self._opened.pop()[1].close()
