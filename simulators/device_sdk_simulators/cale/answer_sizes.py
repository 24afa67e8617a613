"""How long answers are, by path and query: what a decoy to the same request has to be like (CALE-37)."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

from device_sdk_simulators.cale.plaintexts import encrypted_error
from device_sdk_simulators.database import Database

_WINDOW = 16
_BLOCK = 16
_NOTHING = 404


class Form(NamedTuple):
    """What else the length of an answer depends on.

    Attributes:
        aead: whether it is AES-GCM, which does not pad.
        whole: whether it is a whole response (`binary_http`).
    """

    aead: bool
    whole: bool = False


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
        self._windows: dict[tuple[str, Form], deque[int]] = {}
        self._queries: OrderedDict[bytes, deque[int]] = OrderedDict()
        for row in database.rows("SELECT path, aead, whole, length FROM answer_sizes ORDER BY rowid"):
            form = Form(bool(row["aead"]), bool(row["whole"]))
            self._windows.setdefault((row["path"], form), deque(maxlen=_WINDOW)).append(row["length"])

    def learn(self, path: str, length: int, *, aead: bool, whole: bool = False, query: str = "") -> None:
        """Remember the length in bytes of a real answer's ciphertext; for `aead` and `whole` see `Form`."""
        form = Form(aead, whole)
        key = (path, form)
        with self._lock:
            # clients can ask for any number of paths that do not exist; those are what is assumed anyway
            if length == self._smallest(form) and key not in self._windows:
                return
            self._learn_query(_name(path, query, form), length)
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

    def _smallest(self, form: Form) -> int:
        """Ciphertext of the origination server's answer where there is nothing to read."""
        plaintext = len(encrypted_error(_NOTHING, self._bucket(), whole=form.whole))
        return plaintext if form.aead else plaintext // _BLOCK * _BLOCK + _BLOCK

    def _save(self, key: tuple[str, Form], lengths: set[int]) -> None:
        forgotten = []
        while len(self._windows) > self._most:
            oldest = next(iter(self._windows))
            del self._windows[oldest]
            forgotten.append(oldest)
        with self._database.transaction() as connection:
            connection.executemany(
                "DELETE FROM answer_sizes WHERE path = ? AND aead = ? AND whole = ?",
                [(name, *form) for name, form in (key, *forgotten)],
            )
            rows = [(key[0], *key[1], length) for length in sorted(lengths)]
            connection.executemany("INSERT INTO answer_sizes (path, aead, whole, length) VALUES (?, ?, ?, ?)", rows)

    def plaintext_length(self, path: str, mark: bytes, *, aead: bool, whole: bool = False, query: str = "") -> int:
        """How long a plaintext gives a ciphertext as real clients get for this request.

        A query that no client asked gets one of the lengths of its path: another query, perhaps another length.

        Args:
            path: of the request.
            mark: of the client; the same one meets the same length as long as answers have it.
            aead: see `Form`.
            whole: see `Form`.
            query: of the request.
        """
        form = Form(aead, whole)
        with self._lock:
            known = self._queries.get(_name(path, query, form)) or self._windows.get((path, form))
            lengths = set(known or (self._smallest(form),))
        length = min(lengths, key=lambda one: hmac.digest(mark, f"{path}\0{query}\0{one}".encode(), "sha256"))
        return length if aead else length - 1


def _name(path: str, query: str, form: Form) -> bytes:
    """What stands for a path with its query, however long it is."""
    return hashlib.sha256(f"{path}\0{query}\0{form}".encode()).digest()[:16]
