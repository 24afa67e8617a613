"""One package, from its coming until it is dealt with: what is noted on the way, so that a power cut does no harm."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta

from device_sdk.client.device.context import Context
from device_sdk.client.est.returns import ReturnMessage
from device_sdk.errors import StateNotWritableError
from device_sdk.protocols.pal import SyncStep
from device_sdk.state import KeptReturn, ProcessedPackage, Refusal
from device_sdk.state.fields import format_time

MAX_UNVERIFIED = 3
"""So often in a row firmware is fetched that has no good signature; then once in each _AGAIN."""
_AGAIN = timedelta(days=1)
_MAX_WHY = 300
_NOTHING = hashlib.sha256(b"").hexdigest()


class Visit:
    """Keeps what is told about one package in the outbox and in the ledger; it is the `Returns` of that package.

    Args:
        context: the device.
        step: that leads to the package.
        origin: of the service.
        listed: every place that is on the list.
    """

    def __init__(self, context: Context, step: SyncStep, origin: str, listed: Collection[str] = ()) -> None:
        self._context, self._step, self._listed = context, step, listed
        self._place = f"{origin}{step.target}"
        self.before = context.state.processed.find(self._place)
        """What came from there before, or None."""
        self._given: list[ReturnMessage] = []
        self._sha256 = ""
        self._free = frozenset[str]()

    @property
    def is_known(self) -> bool:
        """Whether the list itself says that nothing is there but what was dealt with (P-08)."""
        entry, before = self._step.entry, self.before
        return self._is_done and before is not None and entry.date is not None and before.size == entry.size > 0

    @property
    def was_begun(self) -> bool:
        """Whether a power cut ended what was going on with the very package that came."""
        before = self.before
        return before is not None and before.result == "begun" and before.sha256 == self._sha256

    @property
    def was_free(self) -> frozenset[str]:
        """What a power cut may have left half done: what was free when the very package that came was begun."""
        return frozenset(self.before.free) if self.before is not None and self.was_begun else frozenset()

    @property
    def was_refused(self) -> bool:
        """Whether the very package that came was refused before, too."""
        before = self.before
        return before is not None and before.result == "refused" and before.sha256 == self._sha256

    @property
    def came(self) -> bool:
        """Whether there was a package at all."""
        return bool(self._sha256)

    def still_refused(self, circumstances: str) -> Refusal | None:
        """Why a package is not fetched again that was refused, if neither the entry nor anything else has changed since.

        One without a good signature may have been damaged on the way: it is fetched MAX_UNVERIFIED times, then daily.

        Args:
            circumstances: see circumstances_of.
        """
        before, entry = self.before, self._step.entry
        refusal = self._refusal
        if before is None or refusal is None or refusal.circumstances != circumstances:
            return None
        if 0 < refusal.unverified < MAX_UNVERIFIED or (refusal.unverified and self._is_old(before)):
            return None
        date = format_time(entry.date) or ""
        if refusal.listed is None and (date or not refusal.date):
            # servers note when it was fetched; one that has no note any more has another package
            refusal = replace(refusal, listed=date)
            self._context.state.processed.save(replace(before, refusal=refusal))
        return refusal if refusal.listed == date else None

    def wanted(self, sha256: bytes) -> bool:
        """Told the digest of what came; False if it was dealt with."""
        self._sha256 = sha256.hex()
        return not (self._is_done and self.before is not None and self.before.sha256 == self._sha256)

    def begin(self, event: str, free: Collection[str] = ()) -> None:
        """A change is about to happen, and a power cut may leave it anywhere between.

        Args:
            event: see ProcessedPackage.
            free: see there.
        """
        self._free |= frozenset(free)
        self._note("begun", event)

    def done(self, what: str) -> None:
        """All of it has happened; StateNotWritableError says so where that cannot be noted.

        Args:
            what: has happened, in words.
        """
        try:
            self._note("done")
        except StateNotWritableError as error:
            error.hint = f"{what} all the same, and the next run notes that: {error.hint}"
            raise

    def refused(self, why: str = "", circumstances: str = "", *, unverified: bool = False, daily: bool = False) -> None:
        """Nothing of it has happened, and the server was told if it is to be.

        Args:
            why: if it is not to be fetched again: why not, in words.
            circumstances: as long as they are these.
            unverified: it had no good signature.
            daily: what is wrong may pass by itself, and each time costs the server something: once in each _AGAIN.
        """
        date = format_time(self._step.entry.date) or ""
        count = (self._refusal.unverified if self._refusal else 0) + 1 if unverified else 0
        count = MAX_UNVERIFIED if daily else count
        refusal = Refusal(why[:_MAX_WHY], circumstances, date, unverified=count) if circumstances else None
        if self.came:
            self._note("refused", refusal=refusal)
        elif self._given:
            self._note_told()

    def give(self, message: ReturnMessage) -> None:
        """See Returns. An error that was told about the same package is not told again."""
        self._given.append(message)
        if message.event:
            self.begin(message.event)
        if not message.asked or self._was_told(message):
            return
        outbox = self._context.state.outbox
        left = [one for one in outbox.held(message.path) if (one.event, one.about) == (message.event, message.about)]
        put(self._context, message)
        for one in left:  # by a run that a power cut ended
            outbox.delivered(one.id)

    def settle(self, path: str, event: str | None, *, happened: bool) -> None:
        """See Returns."""
        settle(self._context, path, event, happened=happened)

    @property
    def _refusal(self) -> Refusal | None:
        """Of what came from there before, if the entry has the same size."""
        before = self.before
        return before.refusal if before is not None and before.size == self._step.entry.size else None

    def _is_old(self, before: ProcessedPackage) -> bool:
        return abs(self._context.clock.now() - before.at) >= _AGAIN  # clocks are put back, too

    @property
    def _is_done(self) -> bool:
        return self.before is not None and self.before.result == "done"

    def _was_told(self, message: ReturnMessage) -> bool:
        before = self.before
        if (
            message.event
            or before is None
            or self._is_another
            or (self.came and not (self.was_refused or self.was_begun))
        ):
            return False
        return message.about in (one.about for one in before.returns)

    def _note_told(self) -> None:
        """Nothing came, and the server was told why: what is known of the package before it stays."""
        before, entry = self.before, self._step.entry
        if before is None or self._is_another:
            now = self._context.clock.now()
            before = ProcessedPackage(self._place, entry.type, entry.size, _NOTHING, "refused", now)
        told = {one.about: one for one in (*map(_kept, self._given), *before.returns)}
        self._context.state.processed.save(replace(before, returns=tuple(told.values())), self._listed)

    @property
    def _is_another(self) -> bool:
        """Whether nothing ever came from there, and the entry is about something else by now."""
        before = self.before
        return before is not None and before.sha256 == _NOTHING and before.size != self._step.entry.size

    def _note(self, result: str, event: str = "", refusal: Refusal | None = None) -> None:
        entry = self._step.entry
        before = self.before if self.before is not None and self.before.sha256 == self._sha256 else None
        told = {one.about: one for one in before.returns} if before and self.was_refused else {}
        # what the server was told is what it is told again: with another signature it would be another message
        returns = tuple(told.get(one.about) or _kept(one) for one in self._given)
        now = self._context.clock.now()
        free = tuple(sorted(self._free | self.was_free)) if result == "begun" else ()
        self._context.state.processed.save(
            ProcessedPackage(
                self._place, entry.type, entry.size, self._sha256, result, now, event, returns, refusal, free
            ),
            self._listed,
        )


def _kept(message: ReturnMessage) -> KeptReturn:
    return KeptReturn(message.path, message.media_type, message.body, message.about)


@dataclass(frozen=True)
class Outgoing:
    """The `Returns` of what no entry of a list led to."""

    context: Context

    def give(self, message: ReturnMessage) -> None:
        """See Returns."""
        put(self.context, message)

    def settle(self, path: str, event: str | None, *, happened: bool) -> None:
        """See Returns."""
        settle(self.context, path, event, happened=happened)


def put(context: Context, message: ReturnMessage | KeptReturn) -> None:
    """Into the outbox; raises as Outbox.put."""
    event = message.event if isinstance(message, ReturnMessage) else ""
    context.state.outbox.put(
        message.path,
        message.media_type,
        message.body,
        about=message.about,
        made_at=context.clock.now(),
        held=bool(event),
        event=event,
    )


def settle(context: Context, path: str, event: str | None, *, happened: bool) -> None:
    """Note in the ledger what was begun and has happened; then let the messages about it go, to the server or away.

    Args:
        context: the device.
        path: the operation of the messages.
        event: see Returns.settle.
        happened: whether it has.

    Raises:
        StateError: it cannot be noted.
    """
    state = context.state
    events = {one.event for one in state.outbox.held(path) if event in (None, one.event)}
    if happened:
        state.processed.finish(events)
    for message in state.outbox.held(path):
        if message.event not in events:
            continue
        if happened:
            state.outbox.release(message.id)
        else:
            state.outbox.delivered(message.id)  # nothing to deliver any more
