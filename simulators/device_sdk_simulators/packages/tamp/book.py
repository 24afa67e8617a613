"""What was sent and what came back: messages with their numbers, and answers; in the server's database."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from device_sdk_simulators.database import Database
from device_sdk_simulators.packages.returned import Return, make_room, was_returned

OPERATION = "tamp"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tamp_numbers (signer TEXT PRIMARY KEY, number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tamp_messages (
  item TEXT PRIMARY KEY, address TEXT NOT NULL, content_type TEXT NOT NULL, reference BLOB NOT NULL, signer TEXT NOT NULL,
  number INTEGER NOT NULL, updates INTEGER NOT NULL, about TEXT NOT NULL, brings TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tamp_returns (
  id INTEGER PRIMARY KEY, item TEXT NOT NULL, address TEXT NOT NULL, answer TEXT NOT NULL, statuses TEXT NOT NULL,
  holds TEXT, digest BLOB NOT NULL, content BLOB NOT NULL, at TEXT NOT NULL)
"""
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Sent:
    """A message that was made.

    Attributes:
        item: of the package.
        address: for whom.
        content_type: of the message.
        reference: DER of its TAMPMsgRef.
        signer: who signed, by name.
        number: its sequence number.
        updates: how many statuses an answer has to it.
        about: for people.
        brings: name of the apex that an apex update brings; "" for other messages.
    """

    item: str
    address: str
    content_type: str
    reference: bytes
    signer: str
    number: int
    updates: int
    about: str
    brings: str = ""


@dataclass(frozen=True)
class Answer:
    """What a device says of a message.

    Attributes:
        word: "response", "confirm" or "error".
        statuses: numbers of RFC 5934 section 5; none for a response.
        holds: what is in its store afterwards, if it says so: key identifiers, communities, sequence numbers.
        digest: of what was signed, or of all of it: the same answer that comes twice is one.
        content: as it came.
    """

    word: str
    statuses: tuple[int, ...]
    holds: dict[str, object] | None
    digest: bytes
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether everything was done."""
        return self.word != "error" and not any(self.statuses)


class TampBook:
    """The book of one server.

    Args:
        database: the server's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.transaction() as connection:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)

    def next_number(self, signer: bytes) -> int:
        """The smallest number this signer can still use."""
        row = self._database.row("SELECT number FROM tamp_numbers WHERE signer = ?", signer.hex())
        return 1 if row is None else int(row["number"]) + 1

    def is_used(self, reference: bytes) -> bool:
        """Whether another message has it: answers name messages by nothing else."""
        return self._database.row("SELECT item FROM tamp_messages WHERE reference = ?", reference) is not None

    def note_message(self, sent: Sent, signer: bytes) -> None:
        """A message is made; its number is used up. Numbers never go back."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO tamp_messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    sent.item,
                    sent.address,
                    sent.content_type,
                    sent.reference,
                    sent.signer,
                    min(sent.number, LARGEST),
                    sent.updates,
                    sent.about,
                    sent.brings,
                ),
            )
            self.use_up(signer, sent.number)

    def use_up(self, signer: bytes, number: int) -> None:
        """This number of a signer, and all below it, are used up."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO tamp_numbers VALUES (?, ?) ON CONFLICT (signer) DO UPDATE SET number = max(number, ?)",
                (signer.hex(), min(number, LARGEST), min(number, LARGEST)),
            )

    def sent_to(self, address: str) -> list[Sent]:
        """Messages that this device fetched, withdrawn ones included, oldest first."""
        rows = self._database.rows(
            "SELECT tamp_messages.* FROM tamp_messages JOIN fetches ON place = 'tamp/' || item"
            " WHERE fetches.address = ? ORDER BY tamp_messages.rowid",
            address,
        )
        return [
            Sent(
                row["item"],
                row["address"],
                row["content_type"],
                bytes(row["reference"]),
                row["signer"],
                row["number"],
                row["updates"],
                row["about"],
                row["brings"],
            )
            for row in rows
        ]

    def apex_of(self, address: str) -> str:
        """The apex that a device has after what was published for it, unless it said that it has not; "" for its first.

        Messages are fetched in their order, so whatever is published now comes after an apex update that still waits.
        """
        row = self._database.row(
            "SELECT brings FROM tamp_messages AS message WHERE brings != '' AND address IN (?, '*')"
            # one that was withdrawn counts if the device was sent it before
            " AND (EXISTS (SELECT 1 FROM packages WHERE item = message.item) OR EXISTS (SELECT 1 FROM fetches"
            " WHERE place = 'tamp/' || message.item AND address = ?))"
            " AND NOT EXISTS (SELECT 1 FROM tamp_returns AS said WHERE said.item = message.item AND said.address = ?"
            " AND (answer = 'error' OR statuses != '[0]'))"
            " ORDER BY message.rowid DESC LIMIT 1",
            address,
            address,
            address,
        )
        return "" if row is None else str(row["brings"])

    def answered(self, address: str) -> set[str]:
        """Items that this device said something of."""
        rows = self._database.rows("SELECT DISTINCT item FROM tamp_returns WHERE address = ?", address)
        return {str(row["item"]) for row in rows}

    def note_answer(self, sent: Sent, address: str, answer: Answer, now: datetime) -> None:
        """An answer came; one that came already changes nothing."""
        with self._database.transaction() as connection:
            about = Return(address, sent.item, answer.digest)
            if not was_returned(connection, "tamp_returns", about):
                make_room(connection, "tamp_returns", about)
                connection.execute(
                    "INSERT INTO tamp_returns (item, address, answer, statuses, holds, digest, content, at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        sent.item,
                        address,
                        answer.word,
                        json.dumps(answer.statuses),
                        None if answer.holds is None else json.dumps(answer.holds),
                        answer.digest,
                        answer.content,
                        now.isoformat(),
                    ),
                )

    def overview(self) -> list[dict[str, Any]]:
        """Every answer, oldest first."""
        rows = self._database.rows(
            "SELECT item, tamp_returns.address AS sent_by, answer, statuses, holds, at, about, signer, number"
            " FROM tamp_returns JOIN tamp_messages USING (item) ORDER BY id"
        )
        return [
            dict(row)
            | {
                "statuses": json.loads(row["statuses"]),
                "holds": None if row["holds"] is None else json.loads(row["holds"]),
            }
            for row in rows
        ]

    def reports(self) -> dict[tuple[object, object], dict[str, object]]:
        """The latest answer of each device to each message, in a word."""
        found: dict[tuple[object, object], dict[str, object]] = {}
        for one in self.overview():
            failed = [code for code in one["statuses"] if code]
            word = (
                f"refused ({', '.join(map(str, failed))})"
                if failed
                else {"response": "answered"}.get(one["answer"], "done")
            )
            found[(one["item"], one["sent_by"])] = {"report": word, "reported_at": one["at"]}
        return found

    def holdings(self) -> dict[str, dict[str, Any]]:
        """What each device said last of what it holds: of each thing when it last spoke of it."""
        rows = self._database.rows("SELECT address, holds, at FROM tamp_returns WHERE holds IS NOT NULL ORDER BY id")
        found: dict[str, dict[str, Any]] = {}
        for row in rows:
            found[row["address"]] = found.get(row["address"], {}) | json.loads(row["holds"]) | {"at": row["at"]}
        return found
