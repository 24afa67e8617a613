"""Taking back what was begun and will not be finished."""

from __future__ import annotations

from device_sdk.client.device.context import Context
from device_sdk.state import Journal


def undo(context: Context, journal: Journal) -> None:
    """Destroy the key the journal announced, if it is ours and no certificate in use needs it, then drop the journal.

    Raises:
        KeyStoreError: the key cannot be destroyed; the journal stays.
        StateNotWritableError: the journal stays.
    """
    state = context.state.load()
    needed = {record.key_uri for record in (state.current, *state.previous) if record}
    if journal.created_here and journal.key_uri not in needed:
        context.delete_key(journal.key_uri)
    context.state.drop_journal()
