"""A connection to PostgreSQL that knows since when it has been waiting for an answer."""

from __future__ import annotations

import time
from typing import Any

import psycopg


class Answering(psycopg.Connection[Any]):
    """As psycopg's own; each statement, each part of a long answer and each end of a transaction is one wait."""

    _since: float | None = None
    _given_up_s: float | None = None

    def wait(self, *args: Any, **named: Any) -> Any:
        """As psycopg's own; raises OperationalError, too, where the wait was given up."""
        self._since = time.monotonic()
        try:
            return super().wait(*args, **named)
        except psycopg.OperationalError as error:
            if self._given_up_s is not None:
                error.args = (f"no answer came in {self._given_up_s:g} s",)
            raise
        finally:
            self._since = None

    def give_up_after(self, limit_s: float) -> bool:
        """Whether its wait has taken longer than that, and whoever asks cuts it now; another thread may ask."""
        since = self._since
        if since is None or time.monotonic() - since <= limit_s:
            return False
        self._given_up_s = limit_s
        return True
