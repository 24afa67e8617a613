"""Taking back what was begun and will not be finished."""

from __future__ import annotations

from device_sdk.client.device.context import Context
from device_sdk.client.device.provenance import delete_own
from device_sdk.state import Journal


def undo(context: Context, journal: Journal) -> None:
    """Destroy the key the journal announced, if it is proved to be ours and no certificate in use needs it.

    Then drop the journal. A key that is not proved to be the one made for it stays.

    Raises:
        KeyStoreError: the key cannot be destroyed; the journal stays.
        StateNotWritableError: the journal stays.
    """
    state = context.state.load()
    needed = {record.key_uri for record in (state.current, *state.previous) if record}
    made = journal.key_sha256 is not None or journal.key_id is not None
    if journal.created_here and made and journal.key_uri not in needed:
        delete_own(context, journal.key_uri, sha256=journal.key_sha256, key_id=journal.key_id)
    context.state.drop_journal()
