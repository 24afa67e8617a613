"""Giving up a registration: what was made for it goes, in an order that a power cut cannot spoil."""

from __future__ import annotations

from device_sdk.client.cale.registering import let_go, needed_keys, undo
from device_sdk.client.device.context import Context
from device_sdk.client.device.provenance import delete_own


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
    ours = registration.created_here and registration.key_uri not in needed_keys(context, name)
    if ours and delete_own(context, registration.key_uri, sha256=registration.key_sha256):
        gone.append(registration.key_uri)
    state.delete_cale_registration(name)
    return tuple(gone)
