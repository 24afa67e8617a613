"""How long answers are, by path and query: what a decoy to the same request has to be like (CALE-37)."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable
from typing import NamedTuple

from device_sdk_simulators.cale.plaintexts import encrypted_error
from device_sdk_simulators.cale.recent import Recent
from device_sdk_simulators.cale.shares import Shares
from device_sdk_simulators.database import Database

_BLOCK = 16
_NOTHING = 404


class Lengths(NamedTuple):
    """Of one answer, before it is encrypted: in each form that some client gets.

    Who asks chooses some of its form (the suite of the connection), so that lengths learnt in one form have to serve for all.
    """

    bare: int
    whole: int

    def plaintext(self, *, aead: bool, whole: bool) -> int:
        """Bytes of a plaintext that gives a ciphertext as long as this answer's; with AES-CBC the longest one that does."""
        length = self.whole if whole else self.bare
        return length if aead else length // _BLOCK * _BLOCK + _BLOCK - 1


class AnswerSizes:
    """The lengths of the last answers to each path, and of every owner's last one to each path with its query.

    Those of paths are kept in the database, for the first decoy after a restart; those of queries, which clients can make up
    without end, only in the process.

    Args:
        database: memory.
        bucket: lengths of texts are multiples of this; 0 if they are not.
        most_paths: bound of that memory; who fills it makes room in his own share, see `Shares`.
        most_queries: bound of the other one, likewise.
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
        self._lock = threading.Lock()
        self._windows: dict[str, Recent[Lengths]] = {}
        self._queries: dict[bytes, Recent[Lengths]] = {}
        self._paths_of: Shares[str] = Shares(most_paths)
        self._queries_of: Shares[bytes] = Shares(most_queries)
        for row in database.rows("SELECT path, aead, length FROM answer_sizes ORDER BY rowid"):
            # an earlier version's, of one form
            self._window(row["path"]).add("", self._guessed(row["length"], aead=bool(row["aead"])))
        for row in database.rows("SELECT path, bare, whole FROM answer_lengths ORDER BY rowid"):
            self._window(row["path"]).add("", Lengths(row["bare"], row["whole"]))
        for path in [one for known in tuple(self._windows) for one in self._paths_of.use(known)]:
            del self._windows[path]

    def _window(self, path: str) -> Recent[Lengths]:
        return self._windows.setdefault(path, Recent())

    def learn(
        self, path: str, length: int, *, aead: bool, query: str = "", lengths: Lengths | None = None, owner: str = ""
    ) -> None:
        """Remember a real answer.

        Args:
            path: of the request.
            length: bytes of ciphertext.
            aead: whether it is AES-GCM, which does not pad.
            query: of the request.
            lengths: of the answer in all forms, if whoever made it has said so.
            owner: whose answer it is, for the room it takes.
        """
        known = lengths or self._guessed(length, aead=aead)
        with self._lock:
            # clients can ask for any number of paths that do not exist; those are what is assumed anyway
            if known == self._smallest() and path not in self._windows:
                return
            name = _name(path, query)
            self._queries.setdefault(name, Recent(one_each=True)).add(owner, known)
            for forgotten in self._queries_of.use(name, owner):
                del self._queries[forgotten]
            window = self._window(path)
            before = window.all()
            window.add(owner, known)
            gone = self._paths_of.use(path, owner)
            for one in gone:
                del self._windows[one]
            if window.all() != before:
                self._save(path, window.all(), gone)

    def _guessed(self, length: int, *, aead: bool) -> Lengths:
        """What a ciphertext says of the plaintext: of AES-CBC, whether it fills a bucket; how long the other form is, nothing."""
        bucket = self._bucket()
        if not aead:
            filled = bucket > 0 and (length - _BLOCK) % bucket == 0
            length -= _BLOCK if filled else 1
        return Lengths(length, length)

    def _smallest(self) -> Lengths:
        """The origination server's answer where there is nothing to read."""
        return Lengths(*(len(encrypted_error(_NOTHING, self._bucket(), whole=whole)) for whole in (False, True)))

    def _save(self, path: str, lengths: set[Lengths], gone: list[str]) -> None:
        with self._database.transaction() as connection:
            names = [(name,) for name in (path, *gone)]
            connection.executemany("DELETE FROM answer_lengths WHERE path = ?", names)
            connection.executemany("DELETE FROM answer_sizes WHERE path = ?", names)
            rows = [] if path in gone else [(path, *one) for one in sorted(lengths)]
            connection.executemany("INSERT INTO answer_lengths (path, bare, whole) VALUES (?, ?, ?)", rows)

    def plaintext_length(self, path: str, mark: bytes, *, aead: bool, whole: bool = False, query: str = "") -> int:
        """How long a plaintext gives a ciphertext as real clients get for this request.

        Args:
            path: of the request.
            mark: as for `of`.
            aead: whether the decoy is AES-GCM.
            whole: whether it is a whole response (`binary_http`).
            query: of the request.
        """
        return self.of(path, mark, query).plaintext(aead=aead, whole=whole)

    def of(self, path: str, mark: bytes, query: str = "") -> Lengths:
        """The lengths of an answer that real clients got for this request.

        A query that no client asked gets one of the lengths of its path: another query, perhaps another length.

        Args:
            path: of the request.
            mark: of the client; the same one meets the same answer as long as there are such answers, in any form.
            query: of the request.
        """
        with self._lock:
            known = self._queries.get(_name(path, query)) or self._windows.get(path)
            answers = known.all() if known else {self._smallest()}
        return min(answers, key=lambda one: hmac.digest(mark, f"{path}\0{query}\0{one}".encode(), "sha256"))


def _name(path: str, query: str) -> bytes:
    """What stands for a path with its query, however long it is."""
    return hashlib.sha256(f"{path}\0{query}".encode()).digest()[:16]
