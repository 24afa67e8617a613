"""Looking at a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from sqlalchemy import ColumnElement, select

from device_sdk.station.ledger import chain, export, schema, verify
from device_sdk.station.ledger.database import Database
from device_sdk.station.ledger.devices import DeviceRecord, fold, fold_all
from device_sdk.station.ledger.entry import Entry, Head
from device_sdk.station.ledger.export import Writable
from device_sdk.station.ledger.verify import Verdict

_PAGE = 500
_E = schema.entries.c


class LedgerReader:
    """What can be asked of a ledger. What it did not write itself is not in its answers.

    Every method raises LedgerError where the database cannot be read, or an entry is not as its hash says.

    Args:
        database: where it is.
        ledger: its id.

    Attributes:
        id: its id, 32 hex digits.
    """

    def __init__(self, database: Database, ledger: str) -> None:
        self._database = database
        self.id = ledger

    def holder(self, device: str) -> tuple[str, str] | None:
        """Which station has a device, and in which run; None if nobody has."""
        with self._database.read() as connection:
            table = schema.claims
            row = connection.execute(select(table).where(table.c.device == device)).one_or_none()
            live = row is not None and row.until_ms > self._database.now(connection) * 1000
            return (row.station, row.run) if live and row is not None else None

    def entries(
        self,
        after: int = 0,
        *,
        device: str | None = None,
        run: str | None = None,
        kind: str | None = None,
        limit: int | None = None,
        unchecked: bool = False,
    ) -> Iterator[Entry]:
        """Entries behind a number, in their order, read as they are asked for; those appended meanwhile, too.

        Args:
            after: the number of an entry, 0 for all.
            device: only those of this device.
            run: only those of this run.
            kind: only those of this kind.
            limit: at most so many.
            unchecked: those, too, that are not as their hash says: for whoever checks them himself.
        """
        conditions = _conditions(device=device, run=run, kind=kind)
        read = chain.of_row if unchecked else chain.believed
        while limit is None or limit > 0:
            with self._database.read() as connection:
                chained = chain.in_chain(connection)
                found = chain.page(connection, after, min(_PAGE, limit or _PAGE), chained, *conditions, read=read)
            yield from found
            if not found:
                return
            after, limit = found[-1].number, None if limit is None else limit - len(found)

    def newest(
        self,
        count: int,
        *,
        device: str | None = None,
        run: str | None = None,
        kind: str | None = None,
        before: int | None = None,
    ) -> list[Entry]:
        """The last entries, or the last ones before a number, the newest first."""
        conditions = _conditions(device=device, run=run, kind=kind)
        if before is not None:
            conditions.append(_E.number < before)
        with self._database.read() as connection:
            return chain.newest(connection, count, *conditions)

    def device(self, serial_number: str) -> DeviceRecord | None:
        """What is known of a device; None if nothing is."""
        with self._database.read() as connection:
            return fold(serial_number, chain.of_device(connection, serial_number))

    def devices(self, *, run: str | None = None) -> Iterator[DeviceRecord]:
        """What is known of all devices, or of those that were in a run, by serial number; one state of the ledger."""
        with self._database.read(long=True) as connection:
            chained = chain.in_chain(connection)
            in_run = select(_E.device).where(chained, _E.run == run).distinct()
            query = select(schema.entries).where(chained, _E.device.is_not(None))
            query = query.order_by(_E.device, _E.number)
            if run is not None:
                query = query.where(_E.device.in_(in_run))
            with connection.execution_options(yield_per=_PAGE).execute(query) as rows:
                yield from fold_all(chain.believed(row) for row in rows)

    def head(self) -> Head:
        """The last entry's number and hash, to be kept elsewhere."""
        with self._database.read() as connection:
            return chain.last(connection, self.id)

    def verify(self, head: Head | None = None) -> Verdict:
        """Check every entry, the chain, the head record and the triggers.

        Args:
            head: one that was kept elsewhere: the ledger has to have that very entry still.

        Raises:
            LedgerError: `entry` is the number of the first bad one.
        """
        return verify.verify(self._database, self.id, head)

    def export(self, form: str, stream: Writable, *, run: str | None = None, device: str | None = None) -> int:
        """Write entries to a stream, as "csv" or "jsonl"; how many there were.

        Raises:
            ConfigurationError: another form.
        """
        return export.export(form, self.entries(run=run, device=device, unchecked=True), stream)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _conditions(**wanted: str | None) -> list[ColumnElement[bool]]:
    return [_E[name] == value for name, value in wanted.items() if value is not None]
