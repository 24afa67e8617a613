"""How long answers are, by path: what a decoy of that path has to be like (CALE-37)."""

from __future__ import annotations

import hmac
import threading
from collections import deque
from collections.abc import Callable

from device_sdk_simulators.cale.padding import JSON, padded
from device_sdk_simulators.database import Database

_WINDOW = 16
_BLOCK = 16
_NOTHING_TO_READ = b'{"error": 404}\n'


class AnswerSizes:
    """The lengths of the last answers on each path; kept in the database, for the first decoy after a restart.

    Args:
        database: memory.
        bucket: lengths of texts are multiples of this; 0 if they are not.
        most_paths: bound of that memory; the path that was learnt first is forgotten first.
    """

    def __init__(self, database: Database, bucket: Callable[[], int] = int, most_paths: int = 1024) -> None:
        self._database = database
        self._bucket = bucket
        self._most = most_paths
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, bool], deque[int]] = {}
        for row in database.rows("SELECT path, aead, length FROM answer_sizes ORDER BY rowid"):
            self._windows.setdefault((row["path"], bool(row["aead"])), deque(maxlen=_WINDOW)).append(row["length"])

    def learn(self, path: str, length: int, *, aead: bool) -> None:
        """Remember the length in bytes of a real answer's ciphertext."""
        key = (path, aead)
        with self._lock:
            # clients can ask for any number of paths that do not exist; those are what is assumed anyway
            if length == self._smallest(aead=aead) and key not in self._windows:
                return
            window = self._windows.setdefault(key, deque(maxlen=_WINDOW))
            before = set(window)
            window.append(length)
            if set(window) != before:
                self._save(key, set(window))

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

    def plaintext_length(self, path: str, mark: bytes, *, aead: bool) -> int:
        """How long a plaintext gives a ciphertext as real clients get on this path.

        Args:
            path: of the request.
            mark: of the client; the same one meets the same length as long as answers have it.
            aead: whether the answer is AES-GCM, which does not pad.
        """
        with self._lock:
            lengths = set(self._windows.get((path, aead), ())) or {self._smallest(aead=aead)}
        length = min(lengths, key=lambda one: hmac.digest(mark, f"{path}\0{one}".encode(), "sha256"))
        return length if aead else length - 1
