"""Symmetric keys that came, into their places: each package once, and nothing replaced that was there before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from device_sdk.client.device.context import Context
from device_sdk.client.device.sync.deliveries import KeyDelivery
from device_sdk.client.device.sync.outcome import Done, known
from device_sdk.client.device.sync.visit import Visit
from device_sdk.errors import ConfigurationError, DeviceSdkError, KeysNotStoredError, KeyStoreError
from device_sdk.keystores.secret_import import open_place

if TYPE_CHECKING:
    from device_sdk.client.est.packages import Packages
    from device_sdk.client.est.symmetric_keys import KeyPackage


@dataclass(frozen=True)
class ReceivedKeys:
    """One package, until its keys are in their places.

    Attributes:
        context: the device.
        packages: what tells the server.
        visit: what is noted on the way.
        wishes: where keys go.
        package: the keys.
    """

    context: Context
    packages: Packages
    visit: Visit
    wishes: KeyDelivery
    package: KeyPackage

    def store(self, path: str) -> Done:
        """Store them, and have that confirmed.

        Args:
            path: the operation that receipts and errors go to.

        Raises:
            KeysNotStoredError: half of them are stored; the next run stores them all again.
            DeviceSdkError: none is stored.
        """
        try:
            return known(self.visit) if self._was_stored(path) else self._store(path)
        finally:
            self.package.wipe()

    def _store(self, path: str) -> Done:
        visit, event, keys = self.visit, self.package.digest, self.package.keys
        # what a power cut left is replaced, and nothing that was there before this package
        replace = self.wishes.replace or visit.was_free
        with ExitStack() as opened:
            with self._refusing(path):
                place = opened.enter_context(open_place(self.wishes.place, pin=self.context.pin))
                free = place.free(keys, replace=replace)
            notes = self._receipts()
            visit.begin(event, free)
            with self._refusing(path):
                stored = place.store(keys, replace=replace)
        self.context.state.taken_keys.note(self.package.identity, self.context.clock.now())
        visit.done("the keys are stored")
        visit.settle(path, event, happened=True)
        return Done(f"keys stored: {', '.join(stored.places)}", notes)

    def _was_stored(self, path: str) -> bool:
        """Whether it was stored before, from whatever place: newer keys may have come since. Then that is noted here, too."""
        state, visit, package = self.context.state, self.visit, self.package
        if package.identity not in state.taken_keys.load():
            return False
        if visit.was_begun:  # and stored, but a power cut came before the note
            state.processed.finish({package.digest})
        else:
            visit.done("the keys are stored")
        visit.settle(path, package.digest, happened=True)
        return True

    def _receipts(self) -> tuple[str, ...]:
        """Held until the keys are stored; says which there are none of."""
        if not self.wishes.returns:
            return ()
        recipient = self.wishes.policy.receipt_recipient
        given = self.packages.return_receipts(self.package, event=self.package.digest, recipient=recipient)
        return tuple(f"no receipt for package {number.hex()}: {reason}" for number, reason in given.withheld)

    @contextmanager
    def _refusing(self, path: str) -> Iterator[None]:
        """The server is told if none could be stored."""
        try:
            yield
        except KeysNotStoredError as error:
            self.visit.settle(path, self.package.digest, happened=False)
            self._tell(error)
            self.visit.begin(self.package.digest)  # goes on, and is told once
            raise
        except (KeyStoreError, ConfigurationError) as error:
            self.visit.settle(path, self.package.digest, happened=False)
            self._tell(error)
            self.visit.refused()
            raise

    def _tell(self, error: DeviceSdkError) -> None:
        if self.wishes.returns:
            recipient = self.wishes.policy.receipt_recipient
            self.packages.return_key_error(self.package, error, recipient=recipient)
