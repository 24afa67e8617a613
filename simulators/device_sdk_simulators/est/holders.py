"""For which user a certificate was issued, as far as that is known."""

from __future__ import annotations

import sqlite3


def holder_of(row: sqlite3.Row) -> str | None:
    """The user, from `holder` and `issued_to` of a row of the certificates; None where nobody was written down.

    Before there were holders, users without certificate were written down in their place.
    """
    if row["holder"] is not None:
        return str(row["holder"])
    prefix, _, name = str(row["issued_to"]).partition(":")
    return name if prefix == "user" else None
