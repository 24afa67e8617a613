"""Giving up a registration: what was made for it goes, in an order that a power cut cannot spoil."""

from __future__ import annotations

from device_sdk.client.cale.registering import let_go, undo
from device_sdk.client.cale.sharing import Fate, destroy
from device_sdk.client.device.context import Context


def forget(context: Context, name: str) -> tuple[str, ...]:
    """See CaleApplication.forget.

    The registration goes after its key: killed in between, it names a key that is gone, and the same call finishes.
    """
    state = context.state
    registration, journal = state.cale_registration(name), state.cale_journal(name)
    gone: list[str] = []
    if journal is not None:
        if registration is not None and registration.guid == journal.guid:
            let_go(context, name, journal)
        undo(context, journal)
    if registration is None:
        return ()
    if registration.created_here:
        fate = destroy(context, name, registration.key_uri, sha256=registration.key_sha256)
        if fate is Fate.GONE:
            gone.append(registration.key_uri)
    state.delete_cale_registration(name)
    return tuple(gone)
