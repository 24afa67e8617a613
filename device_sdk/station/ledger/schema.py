"""The tables of a ledger, and the triggers that let nobody change what was written."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, MetaData, Table, Text

_NUMBER = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

about = Table(
    "ledger_about",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""What the ledger is: "id", "version", "made"."""

entries = Table(
    "ledger_entries",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=False),
    Column("time", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("device", Text),
    Column("line", Text),
    Column("run", Text),
    Column("step", Text),
    Column("outcome", Text),
    Column("claim", _NUMBER),
    Column("facts", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index("ledger_entries_device", "device", "number"),
    Index("ledger_entries_run", "run", "number"),
)
"""The chain; `facts` is canonical JSON."""

head = Table(
    "ledger_head",
    metadata,
    Column("single", Integer, CheckConstraint("single = 1"), primary_key=True, autoincrement=False),
    Column("number", _NUMBER, nullable=False),
    Column("hash", Text, nullable=False),
)
"""One row: the last entry. Whoever appends locks it, so that there is one after the other on every database."""

claims = Table(
    "ledger_claims",
    metadata,
    Column("device", Text, primary_key=True),
    Column("claim", _NUMBER, nullable=False),
    Column("station", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("again", Boolean, nullable=False),
)
"""Who has which device now; `claim` is the number of the entry, and what an append is fenced with. Changes all the time."""

identities = Table(
    "ledger_identities",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("device", Text, nullable=False),
    Column("entry", _NUMBER, nullable=False),
    Index("ledger_identities_device", "device"),
)
"""Which device has which MAC address ("mac") and public key ("key"): what the entries say, to be found quickly."""

_FIXED = "the ledger is append-only"


def _sqlite(table: str, name: str, when: str) -> str:
    return f"CREATE TRIGGER {table}_{name} BEFORE {when} BEGIN SELECT RAISE(ABORT, '{_FIXED}'); END"


def _sqlite_guards() -> Iterator[str]:
    for table, key in (("ledger_entries", "number"), ("ledger_about", "name"), ("ledger_head", "single")):
        yield _sqlite(table, "no_delete", f"DELETE ON {table}")
        # INSERT OR REPLACE deletes without asking the trigger above
        there = f"EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})"  # noqa: S608  # names of ours
        yield _sqlite(table, "no_replace", f"INSERT ON {table} WHEN {there}")
    for table in ("ledger_entries", "ledger_about"):
        yield _sqlite(table, "no_update", f"UPDATE ON {table}")
    yield _sqlite("ledger_head", "forward", "UPDATE ON ledger_head WHEN NEW.number <> OLD.number + 1")
    # 0 or -7 would be before the chain, and 9999 far behind it
    yield _sqlite(
        "ledger_entries", "next", "INSERT ON ledger_entries WHEN NEW.number <> (SELECT number + 1 FROM ledger_head)"
    )


def _postgresql(table: str, name: str, when: str) -> str:
    return f"CREATE TRIGGER {table}_{name} BEFORE {when} EXECUTE FUNCTION ledger_refuse()"


def _postgresql_guards() -> Iterator[str]:
    body = f"BEGIN RAISE EXCEPTION '{_FIXED}'; END"
    yield f"CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
    for table in ("ledger_entries", "ledger_about"):
        yield _postgresql(table, "fixed", f"UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT")
    yield _postgresql("ledger_head", "fixed", "DELETE OR TRUNCATE ON ledger_head FOR EACH STATEMENT")
    forward = "UPDATE ON ledger_head FOR EACH ROW WHEN (NEW.number <> OLD.number + 1)"
    yield _postgresql("ledger_head", "forward", forward)
    # the schema is named: tables and operators of whoever inserts would come first
    look = "EXECUTE 'SELECT number + 1 FROM ' || quote_ident(TG_TABLE_SCHEMA) || '.ledger_head' INTO following;"
    refuse = f"IF NEW.number IS DISTINCT FROM following THEN RAISE EXCEPTION '{_FIXED}'; END IF;"
    body = f"DECLARE following bigint; BEGIN {look} {refuse} RETURN NEW; END"
    path = "SET search_path = pg_catalog, pg_temp"
    yield f"CREATE FUNCTION ledger_next() RETURNS trigger LANGUAGE plpgsql {path} AS $${body}$$"
    yield "CREATE TRIGGER ledger_entries_next BEFORE INSERT ON ledger_entries FOR EACH ROW EXECUTE FUNCTION ledger_next()"


GUARDS = {"sqlite": tuple(_sqlite_guards()), "postgresql": tuple(_postgresql_guards())}
"""What is executed after the tables are made, by the name of the database."""
