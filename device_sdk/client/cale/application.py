"""One application's registration in the state directory: made, used, replaced, given up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from device_sdk.client.cale.client import CaleClient
from device_sdk.client.cale.plan import DEFAULT_NAME, CaleOutcome, CalePlan
from device_sdk.errors import ConfigurationError, DeviceSdkError, KeyAmbiguousError, KeyNotFoundError
from device_sdk.keystores.keys import DeviceKey
from device_sdk.keystores.registry import open_key
from device_sdk.model.secret import SecretProvider
from device_sdk.model.trust import ServerTrust
from device_sdk.state import CaleRegistration, StateDirectory

if TYPE_CHECKING:
    from device_sdk.client.cale.forgetting import Forgotten
    from device_sdk.client.device.context import Context
    from device_sdk.client.est import Clock


REGISTERED_AGAIN = "the application was registered again meanwhile: send the request again, with the new registration"
"""What to do where a key went while a request was under way."""


class CaleApplication:
    """A credential of its own for each application: a key, the GUID it was given, and the origin that gave it (CALE-13).

    Registering may be killed at any moment; the same call later goes on where it stopped, with the same key. The GUID is in
    the state directory, the key in its keystore; neither is shared with other applications unless they name the same key,
    however they spell it. A key is destroyed only if neither the device nor another application uses it; in doubt it stays.

    Args:
        state: the state directory.
        name: of the application: up to 64 letters, digits, ".", "_" and "-".
        pin: asked for PINs that the key URI does not lead to.
        clock: the time.
        lock_wait_s: how long to wait for another process that changes the directory, in seconds.
        allow_imported: whether keys may be used that were put into their hardware from outside (KeyStore.open).
    """

    def __init__(
        self,
        state: str | os.PathLike[str] | StateDirectory,
        name: str = DEFAULT_NAME,
        *,
        pin: SecretProvider | None = None,
        clock: Clock | None = None,
        lock_wait_s: float = 0.0,
        allow_imported: bool = False,
    ) -> None:
        self._state = state if isinstance(state, StateDirectory) else StateDirectory(state)
        self._name = name
        self._pin, self._clock = pin, clock
        self._lock_wait_s = lock_wait_s
        self._allow_imported = allow_imported

    @property
    def registration(self) -> CaleRegistration:
        """The registration in use.

        Raises:
            ConfigurationError: there is none, or the name cannot be one.
            StateError: it cannot be read.
        """
        found = self._state.cale_registration(self._name)
        if found is None:
            begun = self._state.cale_journal(self._name) is not None
            raise ConfigurationError(
                f"{self._state.path}: no CALE registration named {self._name!r}",
                hint="run device-sdk cale register again: it was interrupted" if begun else "device-sdk cale register",
            )
        return found

    def register(self, plan: CalePlan) -> CaleOutcome:
        """Register a key for this application, by default one that is made now; or another one, with `plan.again`.

        What was registered is proved by /whoami, whose certificate has to be for our key (CALE-09), before it replaces
        what was there; a key that was made for that goes only after that (CALE-14). Whatever fails, the old registration
        stays in use.

        Raises:
            ConfigurationError: registered already, or the plan cannot work.
            KeyNotFoundError: there is no key of that name, and the plan does not say what to make.
            KeyExistsError: a key of that name is there and is not ours.
            AuthenticationRequiredError, HttpStatusError: the edge device refused; a key made for it waits for the next run.
            NotForUsError: the answer holds no GUID for this key, or /whoami does not know it.
            StateError, TransportError, VerificationError, KeyStoreError: as everywhere.
        """
        from device_sdk.client.cale.registering import Registering

        with self._state.exclusive(self._lock_wait_s), self._context(plan).running() as context:
            return Registering(context, self._name, plan).run()

    def forget(self) -> Forgotten:
        """Give the registration up, and what is under way; a key that was made for it is destroyed. Asks no server.

        Files that cannot be read are given up as well; while those of another application cannot be, keys stay.

        Returns:
            What is not there any more, and what is left.

        Raises:
            KeyStoreError: the key cannot be destroyed; nothing was changed.
            StateError: the state directory.
        """
        from device_sdk.client.cale.forgetting import forget

        with self._state.exclusive(self._lock_wait_s), self._context().running() as context:
            return forget(context, self._name)

    def open_key(self, registration: CaleRegistration) -> DeviceKey:
        """Open the key of a registration; the caller closes it.

        Raises:
            ConfigurationError: the registration is one of a key that no keystore opens.
            KeyNotFoundError: the key is gone, or another one has taken its place.
            KeyStoreError: it cannot be opened.
        """
        uri = registration.key_uri
        if not uri:
            raise ConfigurationError(f"the CALE registration {self._name!r} names no key that could be opened")
        try:
            key = open_key(uri, pin=self._pin, allow_imported=self._allow_imported)
        except KeyAmbiguousError:
            raise
        except KeyNotFoundError as error:
            error.hint = self._lost(registration)
            raise
        if registration.key_sha256 in (None, key.info.spki_sha256):
            return key
        key.close()
        raise KeyNotFoundError(
            f"{uri}: this is not the key that was registered: another one has taken its place",
            hint=self._lost(registration),
            uri=uri,
        )

    def _lost(self, registration: CaleRegistration) -> str:
        """What helps where the key is gone: a new one of that name would not be the one that answers are encrypted to."""
        if self.is_replaced(registration.guid):
            return REGISTERED_AGAIN
        return (
            "no answer can be read without it: restore it, or register a new one: "
            f"device-sdk cale register --again --application {self._name}"
        )

    @contextmanager
    def client(self, trust: ServerTrust, **options: Any) -> Iterator[CaleClient]:
        """A client with the registration in use; its key is open as long as the context.

        Args:
            trust: whom to trust.
            options: further arguments of CaleClient.

        Raises:
            ConfigurationError, StateError: see `registration`.
            KeyStoreError: the key cannot be opened.
        """
        found = self.registration
        key: Any = self.open_key(found)
        options = {"told": found.algorithms} | options
        with key, CaleClient(found.origin, trust, key, guid=found.guid, **options) as client:
            try:
                yield client
            except KeyNotFoundError as error:
                if self.is_replaced(found.guid):
                    error.hint = REGISTERED_AGAIN
                raise

    def is_replaced(self, guid: str) -> bool:
        """Whether another registration than that one is in use now."""
        try:
            return self.registration.guid != guid
        except DeviceSdkError:
            return False

    def _context(self, plan: CalePlan | None = None) -> Context:
        from device_sdk.client.device.context import Context
        from device_sdk.client.device.generation import absolute
        from device_sdk.client.est import Clock

        given = absolute(plan.key_uri) if plan is not None and plan.key_uri is not None else None
        return Context(self._state, self._pin, self._clock or Clock(), given, self._allow_imported)
