"""How long answers are, by path and query: what a decoy to the same request has to be like (CALE-37)."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict, deque
from collections.abc import Callable

from device_sdk_simulators.cale.padding import JSON, padded
from device_sdk_simulators.database import Database

_WINDOW = 16
_BLOCK = 16
_NOTHING_TO_READ = b'{"error": 404}\n'


class AnswerSizes:
    """The lengths of the last answers to each path, and to each path with its query.

    Those of paths are kept in the database, for the first decoy after a restart; those of queries, which clients can make up
    without end, only in the process.

    Args:
        database: memory.
        bucket: lengths of texts are multiples of this; 0 if they are not.
        most_paths: bound of that memory; the path that was learnt first is forgotten first.
        most_queries: bound of the other one; what was not learnt for longest is forgotten first.
    """

    def __init__(
        self,
        database: Database,
        bucket: Callable[[], int] = int,
        most_paths: int = 1024,
        most_queries: int = 4096,
    ) -> None:
        self._database = database
        self._bucket = bucket
        self._most = most_paths
        self._most_queries = most_queries
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, bool], deque[int]] = {}
        self._queries: OrderedDict[bytes, deque[int]] = OrderedDict()
        for row in database.rows("SELECT path, aead, length FROM answer_sizes ORDER BY rowid"):
            self._windows.setdefault((row["path"], bool(row["aead"])), deque(maxlen=_WINDOW)).append(row["length"])

    def learn(self, path: str, length: int, *, aead: bool, query: str = "") -> None:
        """Remember the length in bytes of a real answer's ciphertext."""
        key = (path, aead)
        with self._lock:
            # clients can ask for any number of paths that do not exist; those are what is assumed anyway
            if length == self._smallest(aead=aead) and key not in self._windows:
                return
            self._learn_query(_name(path, query, aead=aead), length)
            window = self._windows.setdefault(key, deque(maxlen=_WINDOW))
            before = set(window)
            window.append(length)
            if set(window) != before:
                self._save(key, set(window))

    def _learn_query(self, name: bytes, length: int) -> None:
        self._queries.setdefault(name, deque(maxlen=_WINDOW)).append(length)
        self._queries.move_to_end(name)
        if len(self._queries) > self._most_queries:
            self._queries.popitem(last=False)

    def _smallest(self, *, aead: bool) -> int:
        """Ciphertext of the origination server's answer where there is nothing to read."""
        plaintext = len(padded(_NOTHING_TO_READ, JSON, self._bucket()))
        return plaintext if aead else plaintext // _BLOCK * _BLOCK + _BLOCK

    def _save(self, key: tuple[str, bool], lengths: set[int]) -> None:
        forgotten = []
        while len(self._windows) > self._most:
            oldest = next(iter(self._windows))
            del self._windows[oldest]
            forgotten.append(oldest)
        with self._database.transaction() as connection:
            connection.executemany("DELETE FROM answer_sizes WHERE path = ? AND aead = ?", [key, *forgotten])
            rows = [(*key, length) for length in sorted(lengths)]
            connection.executemany("INSERT INTO answer_sizes (path, aead, length) VALUES (?, ?, ?)", rows)

    def plaintext_length(self, path: str, mark: bytes, *, aead: bool, query: str = "") -> int:
        """How long a plaintext gives a ciphertext as real clients get for this request.

        A query that no client asked gets one of the lengths of its path: another query, perhaps another length.

        Args:
            path: of the request.
            mark: of the client; the same one meets the same length as long as answers have it.
            aead: whether the answer is AES-GCM, which does not pad.
            query: of the request.
        """
        with self._lock:
            known = self._queries.get(_name(path, query, aead=aead)) or self._windows.get((path, aead))
            lengths = set(known or (self._smallest(aead=aead),))
        length = min(lengths, key=lambda one: hmac.digest(mark, f"{path}\0{query}\0{one}".encode(), "sha256"))
        return length if aead else length - 1


def _name(path: str, query: str, *, aead: bool) -> bytes:
    """What stands for a path with its query, however long it is."""
    return hashlib.sha256(f"{path}\0{query}\0{aead}".encode()).digest()[:16]
