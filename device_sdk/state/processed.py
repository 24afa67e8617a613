"""Which packages of the server this device has dealt with, so that none is dealt with twice (section 13 of the profile)."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from device_sdk.errors import StateCorruptError, StateError
from device_sdk.state import files
from device_sdk.state.fields import Fields, dump, format_time

if TYPE_CHECKING:
    from device_sdk.state.directory import StateDirectory

MAX_PROCESSED = 64
_FOLDER = "processed"
_NAME = re.compile(r"[0-9a-f]{64}\.json")
RESULTS = ("begun", "done", "refused")


@dataclass(frozen=True)
class KeptReturn:
    """A receipt or error as it was signed, in case the server asks for it again.

    Attributes:
        path: the operation it goes to.
        media_type: value of Content-Type.
        body: DER.
        about: what it says, for people.
        delivered: how often the server took it, or refused it for good.
    """

    path: str
    media_type: str
    body: bytes = field(repr=False)
    about: str
    delivered: int = 0


@dataclass(frozen=True)
class Refusal:
    """Why a package is not fetched again.

    Attributes:
        why: in words.
        circumstances: SHA-256 of what that depends on besides the package, hex.
        date: of the entry that led there, "" if it had none.
        listed: of the entry in the list after that, where servers note the download; None before it.
        unverified: how many deliveries in a row had no good signature, which says nothing of the package; 0 if this one had. What is
            tried daily for another reason has the number from which on that is so.
    """

    why: str
    circumstances: str
    date: str = ""
    listed: str | None = None
    unverified: int = 0


@dataclass(frozen=True)
class ProcessedPackage:
    """One package, and what became of it.

    Attributes:
        place: origin and request target it came from.
        type: of the entry of the list that led there.
        size: as the entry said.
        sha256: of the package as it came, hex.
        result: "done" or "refused"; "begun" if a power cut may have left it anywhere between.
        at: when.
        event: with "begun": what is being waited for, as in OutboxMessage.
        returns: what the server was told, or would be if it asked.
        refusal: with "refused": why, if the same package would be refused again.
        free: with "begun": names of the places for keys where nothing was, and where a rest of this package may be now.
    """

    place: str
    type: str
    size: int
    sha256: str
    result: str
    at: datetime
    event: str = ""
    returns: tuple[KeptReturn, ...] = ()
    refusal: Refusal | None = None
    free: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """The file."""
        returns = [vars(one) | {"body": b64encode(one.body).decode()} for one in self.returns]
        refusal = vars(self.refusal) if self.refusal else None
        return dump(vars(self) | {"at": format_time(self.at), "returns": returns, "refusal": refusal})

    @classmethod
    def from_bytes(cls, path: Path, data: bytes) -> Self:
        """Read the file.

        Raises:
            StateCorruptError: it cannot be understood.
            StateError: a newer version wrote it.
        """
        fields = Fields.parse(path, data)
        size = fields.take("size")
        if not isinstance(size, int) or _name(fields.text("place")) != path.name:
            raise _corrupt(path, "not about the place that its name says")
        return cls(
            fields.text("place"),
            fields.text("type"),
            size,
            fields.digest("sha256"),
            fields.one_of("result", RESULTS),
            fields.time("at"),
            fields.text("event"),
            tuple(_kept(path, one) for one in fields.objects("returns")),
            _refusal(path, fields.take("refusal")),
            fields.optional_texts("free") or (),
        )


class ProcessedPackages:
    """The directory processed/ of a state directory, a file for each place; `StateDirectory.processed`.

    It spares work, and keeps what the server may ask for again; if it is lost, packages are dealt with once more.

    Args:
        directory: the state directory.
    """

    def __init__(self, directory: StateDirectory) -> None:
        self._directory = directory

    def find(self, place: str) -> ProcessedPackage | None:
        """What came from there last, or None.

        Raises:
            StateError: somebody else may write to the directory.
        """
        return self._load(self._folder / _name(place))

    def all(self) -> tuple[ProcessedPackage, ...]:
        """All of them, oldest first; without files that cannot be read. Raises as `find`."""
        files.refuse_strangers(self._directory.path)
        files.refuse_strangers(self._folder)
        return self._records(self._paths())

    def save(self, package: ProcessedPackage, listed: Collection[str] = ()) -> None:
        """Keep one instead of what came from the same place before; for a new place beyond MAX_PROCESSED the oldest goes.

        Args:
            package: what to keep.
            listed: places that are on the list of the server, of which none goes: they would be dealt with once more.

        Raises:
            StateNotWritableError: nothing was changed.
        """
        with self._directory.exclusive():
            files.make_directory(self._folder)
            name = _name(package.place)
            is_new = not (self._folder / name).exists()
            files.write(self._folder / name, package.to_bytes())
            if is_new:
                self._forget({name, *map(_name, listed)})

    def _forget(self, needed: Collection[str]) -> None:
        paths = self._paths()
        surplus = len(paths) - MAX_PROCESSED
        if surplus > 0:
            # only these are read: of a long list there are many others
            rest = self._records(path for path in paths if path.name not in needed)
            for old in rest[:surplus]:
                files.remove(self._folder / _name(old.place))

    def finish(self, events: Collection[str]) -> None:
        """What was begun, and waited for one of these, has happened; raises as `save`."""
        for one in self.all():
            if one.result == "begun" and one.event in events:
                self.save(replace(one, result="done", event="", free=()))

    def count(self, path: str, body: bytes) -> None:
        """The server took a message, or refused it for good; nothing happens if it is about no package that is known. Raises as `save`.

        Args:
            path: the operation it went to.
            body: DER.
        """
        for one in self.all():
            returns = tuple(
                replace(it, delivered=it.delivered + ((it.path, it.body) == (path, body))) for it in one.returns
            )
            if returns != one.returns:
                self.save(replace(one, returns=returns))

    @property
    def _folder(self) -> Path:
        return self._directory.path / _FOLDER

    def _paths(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("*.json") if _NAME.fullmatch(path.name))

    def _records(self, paths: Iterable[Path]) -> tuple[ProcessedPackage, ...]:
        found = [one for one in map(self._load, paths) if one is not None]
        return tuple(sorted(found, key=lambda one: one.at))

    def _load(self, path: Path) -> ProcessedPackage | None:
        files.refuse_strangers(self._directory.path)
        files.refuse_strangers(self._folder)
        try:
            data = files.read(path)
            return None if data is None else ProcessedPackage.from_bytes(path, data)
        except StateError:  # it only spares work
            return None


def _name(place: str) -> str:
    return f"{hashlib.sha256(place.encode()).hexdigest()}.json"


def _kept(path: Path, fields: Fields) -> KeptReturn:
    try:
        body = b64decode(fields.text("body"), validate=True)
    except ValueError:
        raise _corrupt(path, "a message is not base64") from None
    delivered = fields.take("delivered")
    if delivered is None:  # by an earlier version
        delivered = 0
    if not isinstance(delivered, int) or delivered < 0:
        raise _corrupt(path, "a message was delivered some odd number of times")
    return KeptReturn(fields.text("path"), fields.text("media_type"), body, fields.text("about"), delivered)


def _refusal(path: Path, content: object) -> Refusal | None:
    if content is None:
        return None
    fields = Fields(path, content, "refusal")
    listed = fields.optional_text("listed")
    unverified = fields.take("unverified")
    if unverified is None:  # by an earlier version
        unverified = 0
    if not isinstance(unverified, int) or unverified < 0:
        raise _corrupt(path, "an odd number of deliveries")
    return Refusal(fields.text("why"), fields.digest("circumstances"), fields.text("date"), listed, unverified)


def _corrupt(path: Path, why: str) -> StateCorruptError:
    return StateCorruptError(f"{path}: cannot be understood: {why}", hint="remove it", path=str(path))
