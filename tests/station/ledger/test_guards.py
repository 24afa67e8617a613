"""That triggers are told from others by what they do, wherever the ledger is and whichever release wrote their definitions."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from device_sdk.station.ledger import Ledger
from device_sdk.station.ledger.postgresql_guards import condition
from tests.station.ledger.postgres import PASSWORD, PostgresServer
from tests.station.ledger.test_chain import fill

_START = "CREATE TRIGGER ledger_head_forward BEFORE UPDATE ON ledger_head FOR EACH ROW"


@pytest.mark.parametrize(
    "written",
    [
        "WHEN ((new.number <> (old.number + 1))) EXECUTE FUNCTION ledger_refuse()",
        "WHEN ((new.number <> (old.number + 1))) EXECUTE PROCEDURE bench.ledger_refuse()",
        'WHEN (NEW."number" <> (OLD."number" + 1)) EXECUTE FUNCTION ledger_refuse()',
        "WHEN (((new.number) <> (old.number + (1)::bigint))) EXECUTE FUNCTION ledger_refuse()",
        "WHEN (new.number <> old.number + 1)\n EXECUTE FUNCTION ledger_refuse()",
    ],
)
def test_conditions_as_they_may_be_written(written: str) -> None:
    """The first is how PostgreSQL 15 writes it, the second how 10 did; the others say the same."""
    assert condition(f"{_START} {written}") == "new.number<>old.number+1"


def test_a_ledger_in_a_schema_whose_name_is_quoted(postgres: PostgresServer) -> None:
    place = postgres.place()
    user = place.partition("user=")[2].partition("&")[0]
    postgres.sql(
        f'CREATE SCHEMA "Bench {user}" AUTHORIZATION {user}; ALTER ROLE {user} SET search_path = "Bench {user}"'
    )
    with Ledger.open(place) as ledger:
        fill(ledger)
        ledger.verify()


def test_a_ledger_that_was_dumped_and_restored(postgres: PostgresServer, tmp_path: Path) -> None:
    """By PostgreSQL's own programs: what they write is what the ledger was made with."""
    place = postgres.place()
    with Ledger.open(place) as ledger:
        fill(ledger)
        kept = ledger.head()
    user = place.partition("user=")[2].partition("&")[0]
    environment = {
        **os.environ,
        "PGHOST": str(postgres.directory),
        "PGUSER": "lab",
        "PGPASSWORD": PASSWORD,
        "PGDATABASE": "postgres",
    }
    dump = tmp_path / "dump.sql"
    subprocess.run(["pg_dump", "-n", user, "-f", dump], env=environment, check=True, timeout=120)
    postgres.sql(f"DROP SCHEMA {user} CASCADE")
    subprocess.run(
        ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", dump, "-o", os.devnull], env=environment, check=True, timeout=120
    )
    with Ledger.open(place) as ledger:
        assert ledger.verify(kept).head == kept
        ledger.append("note")
