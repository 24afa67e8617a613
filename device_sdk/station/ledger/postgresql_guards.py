"""What the triggers of a ledger in PostgreSQL do, by its catalogs. How definitions are written out differs between its releases."""

from __future__ import annotations

import re

from sqlalchemy import Connection, text

from device_sdk.station.ledger import schema

# pg_trigger.tgtype: catalog/pg_trigger.h of PostgreSQL
_ROW, _BEFORE, _INSERT, _DELETE, _UPDATE, _TRUNCATE = 1, 2, 4, 8, 16, 32
_FIXED = _BEFORE | _DELETE | _UPDATE | _TRUNCATE
_TRIGGERS = {
    "ledger_entries_fixed": ("ledger_entries", _FIXED, "", "ledger_refuse"),
    "ledger_about_fixed": ("ledger_about", _FIXED, "", "ledger_refuse"),
    "ledger_head_fixed": ("ledger_head", _BEFORE | _DELETE | _TRUNCATE, "", "ledger_refuse"),
    "ledger_head_forward": ("ledger_head", _ROW | _BEFORE | _UPDATE, "new.number<>old.number+1", "ledger_refuse"),
    "ledger_entries_next": ("ledger_entries", _ROW | _BEFORE | _INSERT, "", "ledger_next"),
}
"""Of schema.GUARDS: table, when, on what condition, and what is executed."""

_FUNCTION = re.compile(r"CREATE FUNCTION (\w+)\(\) RETURNS trigger LANGUAGE plpgsql (?:SET (.*?) )?AS \$\$(.*)\$\$")
_WHEN = re.compile(r"\sWHEN\s*\((.*)\)\s*EXECUTE\s+(?:FUNCTION|PROCEDURE)\s", re.DOTALL)
_CAST = re.compile(r"::\w+")
_BETWEEN = re.compile(r'[\s"]')

_QUERY = """
    SELECT tgname, c.relname, tgtype, tgenabled, pg_get_triggerdef(t.oid) AS written, proname, prosrc, lanname,
        array_to_string(proconfig, ';') AS settings, pronamespace = relnamespace AS ours,
        tgattr::text = '' AND tgnargs = 0 AND tgconstraint = 0 AND NOT prosecdef AS plain
    FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid JOIN pg_proc p ON p.oid = tgfoid JOIN pg_language l ON l.oid = prolang
    WHERE tgrelid IN ({tables}) AND tgenabled IN ('O', 'A') AND NOT tgisinternal
"""


def found(connection: Connection) -> dict[str, str]:
    """Triggers that are on, the functions behind them, and rules: name to what it does, as in WANTED."""
    tables = ", ".join(f"to_regclass('{name}')" for name in schema.metadata.tables)
    result: dict[str, str] = {}
    for row in connection.execute(text(_QUERY.format(tables=tables))):
        wanted = _TRIGGERS.get(row.tgname)
        name = row.tgname if wanted and wanted[0] == row.relname else f"{row.tgname} on {row.relname}"
        function = f"{row.proname}()" if row.ours else f"{row.proname}() of another schema"
        plain = "" if row.plain else "otherwise than it was made"
        result[name] = _trigger(row.relname, row.tgtype, condition(row.written), row.proname, plain)
        result[function] = _function(row.lanname, row.settings or "", row.prosrc)
    rules = f"SELECT rulename FROM pg_rewrite WHERE ev_class IN ({tables})"  # noqa: S608  # names of ours
    return result | {f"{name} (a rule)": "" for name in connection.execute(text(rules)).scalars()}


def condition(written: str) -> str:
    """What stands behind WHEN in a trigger's definition, without what releases of PostgreSQL write differently."""
    match = _WHEN.search(written)
    return re.sub(r'[\s()"]', "", _CAST.sub("", match[1])).lower() if match else ""


def _trigger(table: str, kind: int, when: str, function: str, plain: str = "") -> str:
    return f"{table} {kind} {when} {function} {plain}"


def _function(language: str, settings: str, body: str) -> str:
    return f"{language} {_BETWEEN.sub('', settings)} {' '.join(body.split())}"


def _functions() -> dict[str, str]:
    matches = (_FUNCTION.fullmatch(line) for line in schema.GUARDS["postgresql"])
    return {f"{one[1]}()": _function("plpgsql", (one[2] or "").replace(" = ", "="), one[3]) for one in matches if one}


WANTED = {name: _trigger(*words) for name, words in _TRIGGERS.items()} | _functions()
"""What a ledger is made with."""
