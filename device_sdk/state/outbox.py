"""What a server still has to be told: receipts, confirms and errors that survive a power cut before they are delivered."""

from __future__ import annotations

import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from device_sdk.errors import StateCorruptError, StateError
from device_sdk.protocols.est.urls import origin_of
from device_sdk.state import files
from device_sdk.state.fields import Fields, dump, format_time

if TYPE_CHECKING:
    from device_sdk.state.directory import StateDirectory

MAX_MESSAGES = 64
MAX_BODY_BYTES = 512 * 1024
MAX_DROPPED = 32
_FOLDER = "outbox"
_DROPPED = "outbox-dropped.json"
_NAME = re.compile(r"([0-9]{12})-([0-9a-f]{32})\.json")
_PATH = re.compile(r"(?:symmetrickeys|firmware|tamp|serverkeygen)/return")
_MAX_ABOUT = 300
_ANEW = "move it away: what it had to say is lost then, and the server may ask again"


@dataclass(frozen=True)
class OutboxMessage:
    """One message; nothing in it is secret.

    Attributes:
        id: 32 hex digits.
        path: the operation it goes to, "firmware/return".
        media_type: value of Content-Type.
        body: DER.
        made_at: when, with time zone.
        about: what it says, for people.
        server: origin of the service it is for; None if the device was not enrolled.
        tries: how often it could not be delivered.
        held: not to be sent before `Outbox.release`: what it reports was about to happen when it was written.
        event: what it reports, in words of whoever holds it, to find out after a power cut whether it happened.
    """

    id: str
    path: str
    media_type: str
    body: bytes = field(repr=False)
    made_at: datetime
    about: str
    server: str | None = None
    tries: int = 0
    held: bool = False
    event: str = ""

    def to_bytes(self) -> bytes:
        """The file."""
        content = vars(self) | {"made_at": format_time(self.made_at), "body": b64encode(self.body).decode()}
        return dump(content)

    @classmethod
    def from_bytes(cls, path: Path, data: bytes) -> Self:
        """Read the file.

        Raises:
            StateCorruptError: it cannot be understood.
            StateError: a newer version wrote it.
        """
        fields = Fields.parse(path, data)
        tries = fields.take("tries")
        try:
            body = b64decode(fields.text("body"), validate=True)
        except ValueError:
            raise _corrupt(path, "the body is not base64") from None
        if (
            not isinstance(tries, int)
            or not _PATH.fullmatch(fields.text("path"))
            or path.stem[-32:] != fields.text("id")
        ):
            raise _corrupt(path, "tries, path or id is none")
        return cls(
            fields.text("id"),
            fields.text("path"),
            fields.text("media_type"),
            body,
            fields.time("made_at"),
            fields.text("about"),
            fields.optional_text("server"),
            tries,
            fields.flag("held"),
            fields.text("event"),
        )


@dataclass(frozen=True)
class DroppedMessage:
    """One that was given up.

    Attributes:
        about: what it said.
        path: the operation.
        made_at: when it was made.
        why: why nobody gets it.
    """

    about: str
    path: str
    made_at: datetime
    why: str


class Outbox:
    """The directory outbox/ of a state directory, a file a message; `StateDirectory.outbox`.

    A message is `put` before the change it reports is finished, sent, and removed once the server took it; the change may
    be finished and the message not sent, never the other way round. Who has to know that the change happened puts it `held`
    and releases it.

    Args:
        directory: the state directory.
    """

    def __init__(self, directory: StateDirectory) -> None:
        self._directory = directory

    def put(
        self,
        path: str,
        media_type: str,
        body: bytes,
        *,
        about: str,
        made_at: datetime,
        held: bool = False,
        event: str = "",
    ) -> str:
        """Keep a message until it is delivered; when this returns, it survives a power cut.

        If there are MAX_MESSAGES already, the oldest is given up for it.

        Args:
            path: the operation, "tamp/return".
            media_type: value of Content-Type.
            body: DER, signed and, where that is asked for, encrypted.
            about: what it says, for people, on one line.
            made_at: the present.
            held: send it only after `release`.
            event: with `held`: what it reports, so that a later run can find out whether it happened.

        Returns:
            Its id.

        Raises:
            StateNotWritableError: nothing was changed.
            StateError: larger than MAX_BODY_BYTES, or of no operation that takes messages.
        """
        if len(body) > MAX_BODY_BYTES or not _PATH.fullmatch(path):
            raise StateError(
                f"{path}: a message of {len(body)} bytes cannot be kept: {MAX_BODY_BYTES} are the most",
                path=str(self._folder),
            )
        with self._directory.exclusive():
            files.make_directory(self._folder)
            names = self._names()
            for name in names[: max(0, len(names) - MAX_MESSAGES + 1)]:
                self._remove(name, f"{MAX_MESSAGES} newer ones wait, too")
            number = int(names[-1][:12]) + 1 if names else 1
            endpoint = self._directory.load().endpoint
            message = OutboxMessage(
                secrets.token_hex(16),
                path,
                media_type,
                body,
                made_at,
                about[:_MAX_ABOUT],
                origin_of(endpoint.url) if endpoint else None,
                held=held,
                event=event,
            )
            files.write(self._folder / f"{number:012}-{message.id}.json", message.to_bytes())
        return message.id

    def pending(self) -> tuple[OutboxMessage, ...]:
        """What may be sent, oldest first; without files that cannot be read (`damage`).

        Raises:
            StateError: others may write to the directory.
        """
        return tuple(one for one in self._all() if not one.held)

    def held(self, path: str | None = None) -> tuple[OutboxMessage, ...]:
        """What waits for `release`, oldest first; raises as `pending`.

        Args:
            path: only what goes to this operation.
        """
        return tuple(one for one in self._all() if one.held and path in (None, one.path))

    def release(self, message_id: str) -> None:
        """What it reports has happened: it may be sent. Nothing happens if it is not there. Raises as `put` and `pending`."""
        self._change(message_id, lambda one: replace(one, held=False))

    def failed(self, message_id: str) -> None:
        """It could not be delivered, and stays; counts. Raises as `release`."""
        self._change(message_id, lambda one: replace(one, tries=one.tries + 1))

    def delivered(self, message_id: str) -> None:
        """The server took it: it goes. Raises StateNotWritableError: it is still there, and would be sent again."""
        with self._directory.exclusive():
            for name in self._named(message_id):
                files.remove(self._folder / name)

    def drop(self, message_id: str, why: str) -> None:
        """Give it up, with a note; raises as `release`.

        Args:
            message_id: which.
            why: for people.
        """
        with self._directory.exclusive():
            for name in self._named(message_id):
                self._remove(name, why)

    def dropped(self) -> tuple[DroppedMessage, ...]:
        """What was given up since `forget_dropped`, the last MAX_DROPPED of it.

        Raises:
            StateCorruptError: the file cannot be understood.
            StateError: it cannot be read, or others may write there.
        """
        data = self._read(self._dropped_file)
        if data is None:
            return ()
        fields = Fields.parse(self._dropped_file, data)
        return tuple(
            DroppedMessage(one.text("about"), one.text("path"), one.time("made_at"), one.text("why"))
            for one in fields.objects("dropped")
        )

    def forget_dropped(self) -> None:
        """Somebody was told; raises StateNotWritableError: nothing was changed."""
        with self._directory.exclusive():
            files.remove(self._dropped_file)

    @property
    def is_half_full(self) -> bool:
        """Whether so many messages are there, held or not, that they should be sent soon."""
        return len(self._names()) >= MAX_MESSAGES // 2

    @property
    def _folder(self) -> Path:
        return self._directory.path / _FOLDER

    @property
    def _dropped_file(self) -> Path:
        return self._directory.path / _DROPPED

    def _names(self) -> list[str]:
        """The files of messages, oldest first."""
        files.refuse_strangers(self._directory.path)
        files.refuse_strangers(self._folder)
        return sorted(path.name for path in self._folder.glob("*.json") if _NAME.fullmatch(path.name))

    def _named(self, message_id: str) -> list[str]:
        return [name for name in self._names() if name.endswith(f"-{message_id}.json")]

    def damage(self) -> tuple[StateError, ...]:
        """Why files in there cannot be read; the others are not concerned. Raises as `pending`."""
        return tuple(one for one in self._readable() if isinstance(one, StateError))

    def _all(self) -> list[OutboxMessage]:
        return [one for one in self._readable() if isinstance(one, OutboxMessage)]

    def _readable(self) -> Iterator[OutboxMessage | StateError | None]:
        for name in self._names():
            try:
                yield self._load(name)
            except StateError as error:
                yield error

    def _load(self, name: str) -> OutboxMessage | None:
        data = self._read(self._folder / name)  # None: delivered meanwhile
        return None if data is None else OutboxMessage.from_bytes(self._folder / name, data)

    def _change(self, message_id: str, how: Callable[[OutboxMessage], OutboxMessage]) -> None:
        with self._directory.exclusive():
            for name in self._named(message_id):
                message = self._load(name)
                if message is not None:
                    files.write(self._folder / name, how(message).to_bytes())

    def _remove(self, name: str, why: str) -> None:
        """The note comes first: told twice is better than not at all."""
        try:
            message = self._load(name)
            notes = self.dropped()
        except StateCorruptError as error:
            message, notes, why = None, (), error.message
        if message is not None:
            note = DroppedMessage(message.about, message.path, message.made_at, why[:_MAX_ABOUT])
            kept = (*notes, note)[-MAX_DROPPED:]
            content = [vars(one) | {"made_at": format_time(one.made_at)} for one in kept]
            files.write(self._dropped_file, dump({"dropped": content}))
        files.remove(self._folder / name)

    def _read(self, path: Path) -> bytes | None:
        files.refuse_strangers(self._directory.path)
        return files.read(path)


def _corrupt(path: Path, why: str) -> StateCorruptError:
    return StateCorruptError(f"{path}: cannot be understood: {why}", hint=_ANEW, path=str(path))
