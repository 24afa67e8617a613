"""The state directory itself."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from cryptography import x509

from device_sdk.errors import StateCorruptError
from device_sdk.state import files, pem
from device_sdk.state.cale_journal import CaleJournal
from device_sdk.state.cale_records import CaleRecords
from device_sdk.state.generated_keys import GeneratedRecords
from device_sdk.state.journal import Journal
from device_sdk.state.lock import DirectoryLock
from device_sdk.state.managed_anchors import ManagedAnchors
from device_sdk.state.outbox import Outbox
from device_sdk.state.packages import KeptPackages
from device_sdk.state.processed import ProcessedPackages
from device_sdk.state.records import DeviceState
from device_sdk.state.taken_keys import TakenKeys

_READ_ATTEMPTS = 10
SECOND = "key-establishment"
FOLDERS = ("certificates", "trust", "cale", "cale/under-way", "outbox", "processed")


class StateDirectory(CaleRecords):
    """One device's state; layout and promises are in the package's documentation.

    Reading takes no lock. Whoever reads, decides and then writes does all of it inside `exclusive()`; a single write
    takes the lock by itself.

    Args:
        path: the directory; made (0700) by the first write.
        anchored: whether it has trust anchors; that of a second certificate has none.
    """

    def __init__(self, path: str | os.PathLike[str], *, anchored: bool = True) -> None:
        self._path, self._anchored = Path(path), anchored
        self._lock = DirectoryLock(self._path / "lock")

    @property
    def path(self) -> Path:
        """The directory."""
        return self._path

    @property
    def current_file(self) -> Path:
        """Stable path of the current certificate, leaf first, then intermediates."""
        return self._path / "current.pem"

    @property
    def anchors_file(self) -> Path:
        """Stable path of the Explicit trust anchors."""
        return self._path / "anchors.pem"

    @property
    def firmware_file(self) -> Path:
        """The record of installed firmware."""
        return self._path / "firmware.json"

    @property
    def packages(self) -> KeptPackages:
        """Revocation lists and certificates of peers."""
        return KeptPackages(self)

    @property
    def outbox(self) -> Outbox:
        """What the server still has to be told."""
        return Outbox(self)

    @property
    def processed(self) -> ProcessedPackages:
        """Packages that were dealt with."""
        return ProcessedPackages(self)

    @property
    def taken_keys(self) -> TakenKeys:
        """Packages of symmetric keys that were stored."""
        return TakenKeys(self)

    @property
    def managed(self) -> ManagedAnchors:
        """The trust anchors that messages manage (RFC 5934)."""
        return ManagedAnchors(self)

    @property
    def generated(self) -> GeneratedRecords:
        """Keys of the server's making."""
        return GeneratedRecords(self)

    @cached_property
    def key_establishment(self) -> StateDirectory:
        """The second certificate, for key establishment: a directory of its own, without trust anchors."""
        return StateDirectory(self._path / SECOND, anchored=False)

    @property
    def anchored(self) -> bool:
        """Whether there are trust anchors in it."""
        return self._anchored

    @contextmanager
    def exclusive(self, wait_s: float = 0.0) -> Iterator[None]:
        """Keep every other process from changing this directory; first puts leftovers of a power cut right.

        Args:
            wait_s: how long to wait for another holder, in seconds.

        Raises:
            StateBusyError: another process is changing it; the message has its process id.
            StateNotWritableError: read-only, or full.
            StateError: it, or a directory in it, belongs to somebody else, or others may write to it.
            StateCorruptError: a file in it cannot be understood; nothing was changed.
        """
        files.make_directory(self._path)
        self._refuse_strangers()
        with self._lock.hold(wait_s) as taken_now:
            if taken_now:
                self._settle()
            yield

    def load(self) -> DeviceState:
        """What is current; an empty DeviceState before the first enrolment.

        Raises:
            StateCorruptError: it cannot be understood.
            StateError: a newer version of the SDK wrote it, somebody else may write to the directory, or it cannot be
                read.
        """
        path = self._path / "state.json"
        data = self._read(path)
        return DeviceState() if data is None else DeviceState.from_bytes(path, data)

    def save(self, state: DeviceState) -> None:
        """Make this the current state, then point the stable paths to it; certificate files must be there already.

        Raises:
            StateNotWritableError: the state before is still current.
        """
        with self.exclusive():
            files.write(self._path / "state.json", state.to_bytes())
            self._point(state)

    def journal(self) -> Journal | None:
        """What is under way, or None; raises as `load`."""
        path = self._path / "journal.json"
        data = self._read(path)
        return None if data is None else Journal.from_bytes(path, data)

    def write_journal(self, journal: Journal | CaleJournal) -> None:
        """Say what is about to happen; raises as `save`."""
        path = self._path / "journal.json"
        if isinstance(journal, CaleJournal):
            path = self._under_way(journal.application)
        with self.exclusive():
            files.make_directory(path.parent)
            files.write(path, journal.to_bytes())

    def drop_journal(self) -> None:
        """Say that what was under way is finished or undone, and remove the files nothing names any more."""
        with self.exclusive():
            # The journal goes last, so that no cleaning is left when it is gone; what only it named goes after it.
            self._prune()
            files.remove(self._path / "journal.json")
            self._prune()

    def tidy(self) -> None:
        """Remove the files that neither the state nor the journal names; raises as `save`."""
        with self.exclusive():
            self._prune()

    def add_certificate(self, chain: Sequence[x509.Certificate]) -> str:
        """Keep a chain, leaf first; gives the leaf's SHA-256 in hex. It is removed again unless a state names it.

        Raises:
            StateNotWritableError: nothing was changed.
        """
        name = pem.fingerprint(chain[0])
        self._add("certificates", name, pem.encode(chain))
        return name

    def chain(self, certificate: str) -> tuple[x509.Certificate, ...]:
        """The chain a state or journal names, leaf first.

        Raises:
            StateCorruptError: the file is missing, or not what its name says.
        """
        path = self._path / "certificates" / f"{certificate}.pem"
        chain = pem.decode(self._needed(path), path)
        if pem.fingerprint(chain[0]) != certificate:
            raise self._not_as_named(path)
        return chain

    def add_anchors(self, anchors: Sequence[x509.Certificate]) -> str:
        """Keep a set of trust anchors; gives the SHA-256 of its file in hex. It is removed unless a state names it.

        Those that messages manage are kept elsewhere (`managed`), and left out unless there are no others.

        Raises:
            StateNotWritableError: nothing was changed.
        """
        data = pem.encode(self.managed.unmanaged(anchors) or anchors)
        name = hashlib.sha256(data).hexdigest()
        self._add("trust", name, data)
        return name

    def anchors(self, name: str) -> tuple[x509.Certificate, ...]:
        """Whom to trust for servers: the anchors a state or journal names, and what messages made of them; raises as `chain`."""
        return self.managed.explicit(self.own_anchors(name))

    def own_anchors(self, name: str) -> tuple[x509.Certificate, ...]:
        """The trust anchors a state or journal names, as the EST service has them; raises as `chain`."""
        path = self._path / "trust" / f"{name}.pem"
        data = self._needed(path)
        if hashlib.sha256(data).hexdigest() != name:
            raise self._not_as_named(path)
        return pem.decode(data, path)

    def snapshot(self) -> tuple[DeviceState, tuple[x509.Certificate, ...], tuple[x509.Certificate, ...]]:
        """The state with its chain and its anchors (empty if there are none), all of one moment; raises as `chain`."""
        for attempt in range(_READ_ATTEMPTS):
            state = self.load()
            try:
                chain = self.chain(state.current.certificate) if state.current else ()
                return state, chain, self.anchors(state.anchors) if state.anchors else ()
            except StateCorruptError:
                # A writer may have switched and cleaned up between the two reads.
                if attempt + 1 == _READ_ATTEMPTS or self.load() == state:
                    raise
        raise AssertionError("unreachable")

    def check(self) -> tuple[str, ...]:
        """Everything that is not as it should be, in words; empty when all is well. Changes nothing, raises nothing."""
        from device_sdk.state.check import findings

        return findings(self)

    def referenced(self, state: DeviceState, journal: Journal | None) -> tuple[set[str], set[str]]:
        """The names under certificates/ and trust/ that a state and a journal need."""
        certificates = {record.certificate for record in (state.current, *state.previous) if record}
        names = (state.anchors, journal.anchors if journal else None, self.trusted(state))
        return certificates, {name for name in names if name}

    def trusted(self, state: DeviceState) -> str | None:
        """Name of the file under trust/ that anchors.pem leads to; None if there is none. Raises as `chain`."""
        if not state.anchors or not self.managed.exists:
            return state.anchors
        anchors = self.anchors(state.anchors)
        return hashlib.sha256(pem.encode(anchors)).hexdigest() if anchors else None

    def point(self) -> None:
        """Let the stable paths lead to what is current; raises as `save`."""
        with self.exclusive():
            self._point(self.load())
            self._prune()

    def _settle(self) -> None:
        state, journal = self.load(), self.journal()
        for directory in (self._path, *(self._path / folder for folder in FOLDERS)):
            for leftover in files.temporary_files(directory):
                files.remove(leftover)
        self._point(state)
        if journal is None:
            self._prune()
        self.managed.settle()

    def _point(self, state: DeviceState) -> None:
        trusted = self.trusted(state)
        if trusted:
            if trusted != state.anchors:
                self._keep("trust", trusted, pem.encode(self.anchors(state.anchors or "")))
            files.link(self.anchors_file, f"trust/{trusted}.pem")
        elif state.anchors:
            files.remove(self.anchors_file)
        if state.current:
            files.link(self.current_file, f"certificates/{state.current.certificate}.pem")

    def _prune(self) -> None:
        certificates, trust = self.referenced(self.load(), self.journal())
        for folder, names in (("certificates", certificates), ("trust", trust)):
            for path in (self._path / folder).glob("*.pem"):
                if path.stem not in names:
                    files.remove(path)

    def _add(self, folder: str, name: str, data: bytes) -> None:
        with self.exclusive():
            self._keep(folder, name, data)

    def _keep(self, folder: str, name: str, data: bytes) -> None:
        path = self._path / folder / f"{name}.pem"
        files.make_directory(path.parent)
        if files.read(path) != data:
            files.write(path, data, files.PUBLIC)

    def _needed(self, path: Path) -> bytes:
        data = self._read(path)
        if data is None:
            raise StateCorruptError(
                f"{path}: is missing, and state.json or journal.json names it",
                hint=f"restore it from a backup, or move {self._path} away and enrol again",
                path=str(path),
            )
        return data

    def _not_as_named(self, path: Path) -> StateCorruptError:
        return StateCorruptError(
            f"{path}: was changed: its content does not have the SHA-256 in its name",
            hint=f"restore it from a backup, or move {self._path} away and enrol again",
            path=str(path),
        )

    def _refuse_strangers(self) -> None:
        for folder in ("", *FOLDERS):
            files.refuse_strangers(self._path / folder)

    def _read(self, path: Path) -> bytes | None:
        """A file's content, if nobody else can have written it; None if there is none."""
        files.refuse_strangers(self._path)
        if path.parent != self._path:
            files.refuse_strangers(path.parent)
        return files.read(path)
