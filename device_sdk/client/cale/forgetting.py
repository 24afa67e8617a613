"""Giving up a registration: what was made for it goes, in an order that a power cut cannot spoil."""

from __future__ import annotations

from dataclasses import dataclass

from device_sdk.client.cale.registering import let_go, replaced_damage, undo
from device_sdk.client.cale.sharing import Fate, destroy
from device_sdk.client.device.context import Context
from device_sdk.errors import StateCorruptError
from device_sdk.state import CaleJournal, CaleRegistration


@dataclass(frozen=True)
class Forgotten:
    """A registration that was given up.

    Attributes:
        destroyed: key URIs of keys that are not there any more.
        notes: what is still there, and why.
    """

    destroyed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def forget(context: Context, name: str) -> Forgotten:
    """See CaleApplication.forget.

    The registration goes after its key: killed in between, it names a key that is gone, and the same call finishes.
    """
    state, notes, gone = context.state, list[str](), list[str]()
    registration, journal = _registration(context, name, notes), _journal(context, name, notes)
    if journal is not None:
        if registration is not None and registration.guid == journal.guid:
            notes += let_go(context, name, journal)
        notes += undo(context, journal)
    if registration is not None:
        if registration.created_here:
            fate = destroy(context, name, registration.key_uri, sha256=registration.key_sha256)
            gone += [registration.key_uri] if fate is Fate.GONE else []
            notes += [] if fate is Fate.GONE else [fate.words(registration.key_uri)]
        else:
            notes.append(f"{registration.key_uri}: the key was not made for this registration, and stays")
    elif journal is None and not notes:
        notes.append(f"{state.path}: no CALE registration named {name!r}, so nothing was changed")
    state.drop_cale_journal(name)
    state.delete_cale_registration(name)
    return Forgotten(tuple(gone), tuple(dict.fromkeys(notes)))


def _registration(context: Context, name: str, notes: list[str]) -> CaleRegistration | None:
    """A damaged file is one that names nothing."""
    try:
        return context.state.cale_registration(name)
    except StateCorruptError as error:
        notes.append(replaced_damage(error))
        return None


def _journal(context: Context, name: str, notes: list[str]) -> CaleJournal | None:
    try:
        return context.state.cale_journal(name)
    except StateCorruptError as error:
        notes.append(replaced_damage(error))
        return None
