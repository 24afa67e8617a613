"""One line in the log for each exchange with a server: where the time went, over which connection, with what outcome.

Logger `device_sdk.exchange`, level INFO. The message is logfmt (name=value, values with spaces quoted); the record's
attribute `exchange` holds the same as a dict. No body, no header and no query is ever in it.
"""

from __future__ import annotations

import json
import logging
import re
import time
from datetime import UTC, datetime

from device_sdk.model.http import ConnectionFacts, HttpRequest
from device_sdk.model.urls import without_query

LOGGER = logging.getLogger("device_sdk.exchange")
_SCHEMES = frozenset({"basic", "digest", "bearer"})
_BARE = re.compile(r"[!#-<>-~]+")


class Entry:
    """What is known about one exchange; begun before the connection is opened, written once at its end.

    Args:
        request: what is sent.
        origin: to whom.
    """

    def __init__(self, request: HttpRequest, origin: str) -> None:
        path = without_query(request.target)
        self._start = time.monotonic()
        self._login = _login(request)
        self._fields: dict[str, object] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "operation": request.operation or path.rpartition("/")[2] or "/",
            "method": request.method,
            "url": origin + path,
            "attempt": request.attempt,
        }

    def connected(self, number: int, facts: ConnectionFacts, *, reused: bool) -> None:
        """The connection that carries it: its number in this process, and whether it had carried something before."""
        methods = ["tls"] if facts.client_authenticated else []
        methods += ["srp"] if facts.cipher.startswith("SRP-") else []
        methods += [self._login] if self._login else []
        self._fields |= {
            "connection": number,
            "reused": reused,
            "tls": facts.tls_version,
            "cipher": facts.cipher,
            "auth": "+".join(methods) or "none",
        }

    def write(self, outcome: str, *, status: int | None = None, sent_bytes: int = 0, received_bytes: int = 0) -> None:
        """Write the line.

        Args:
            outcome: "answered", or the code of the error.
            status: of the answer, if there is one.
            sent_bytes: of the request with its head.
            received_bytes: of the answer with its head.
        """
        if not LOGGER.isEnabledFor(logging.INFO):
            return
        taken_ms = round((time.monotonic() - self._start) * 1000, 1)
        fields = self._fields | {"status": status, "sent_bytes": sent_bytes, "received_bytes": received_bytes}
        fields |= {"duration_ms": taken_ms, "outcome": outcome}
        LOGGER.info("%s", logfmt(fields), extra={"exchange": fields})


def logfmt(fields: dict[str, object]) -> str:
    """name=value pairs on one line; what is None is left out."""
    return " ".join(f"{name}={_value(value)}" for name, value in fields.items() if value is not None)


def _value(value: object) -> str:
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)


def _login(request: HttpRequest) -> str:
    """The scheme of the Authorization header, and never more of it."""
    value = next((value for name, value in request.headers if name.lower() == "authorization"), "")
    scheme = value.partition(" ")[0].lower()
    return scheme if scheme in _SCHEMES else "other" if value else ""
