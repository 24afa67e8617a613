"""How far a sync came, kept so that the next run goes on after a power cut."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

from device_sdk.client.device.context import Context
from device_sdk.errors import StateCorruptError
from device_sdk.protocols.est.urls import EstEndpoint
from device_sdk.protocols.pal import SyncStep
from device_sdk.state import SyncJournal

MAX_AGE = timedelta(days=1)


class Progress:
    """The journal of one sync.

    A run goes on with an earlier one if that began less than a day ago and its list had all that the present one has: what
    is done may be missing from the list by now. Nor if what it kept was damaged since.

    Args:
        context: the device.
        steps: of the server's list.
        endpoint: the service.
        certificate: SHA-256 of the certificate in use, hex.
        anew: do not go on with an earlier run.
    """

    def __init__(
        self,
        context: Context,
        steps: tuple[SyncStep, ...],
        endpoint: EstEndpoint,
        certificate: str,
        *,
        anew: bool = False,
    ) -> None:
        self._context = context
        self._endpoint = endpoint
        wanted = tuple(dict.fromkeys(map(self._name, steps)))
        earlier = None if anew else self._earlier()
        now = context.clock.now()
        self.resumed = (
            earlier is not None and timedelta() <= now - earlier.since < MAX_AGE and set(wanted) <= set(earlier.steps)
        )
        """Whether this run goes on with an earlier one."""
        self._journal = earlier if earlier and self.resumed else SyncJournal(now, certificate, wanted)
        self.renewed = self._journal.certificate != certificate
        """Whether the certificate was renewed since the sync began."""

    def begin(self) -> None:
        """Write down what is going to be done; raises as KeptPackages.write_journal."""
        if not self.resumed:
            self._context.state.packages.write_journal(self._journal)

    def has(self, step: SyncStep) -> bool:
        """Whether the result of a step is kept already."""
        return self._name(step) in self._journal.done

    def note(self, step: SyncStep) -> None:
        """The result of a step is kept; raises as KeptPackages.write_journal."""
        self._journal = self._journal.having(self._name(step))
        self._context.state.packages.write_journal(self._journal)

    def end(self) -> None:
        """Nothing is left to go on with; raises as KeptPackages.drop_journal."""
        self._context.state.packages.drop_journal()

    def _earlier(self) -> SyncJournal | None:
        try:
            return self._context.state.packages.journal()
        except StateCorruptError:  # it only spares work
            return None

    def _name(self, step: SyncStep) -> str:
        """What the server says about when it was fetched does not count; another size is another package."""
        entry = step.entry
        facts = (self._endpoint.origin, entry.type, step.target, entry.size, repr(entry.certificate))
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
