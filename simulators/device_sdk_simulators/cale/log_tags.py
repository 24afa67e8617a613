"""What stands for a GUID in logs: who reads them must not be able to ask in somebody's name."""

from __future__ import annotations

import hmac

LOG_SECRET = "GUIDs in the log"  # noqa: S105  # the name of one
"""Of the database's secrets; roles that share a database have one tag for a GUID."""


def log_tag(secret: bytes, guid: str) -> str:
    """The same for the same GUID in either case; 16 hex digits."""
    return hmac.digest(secret, guid.lower().encode(), "sha256").hex()[:16]
