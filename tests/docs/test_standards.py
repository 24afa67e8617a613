"""docs/standards.md names modules and tests that exist, and leaves no requirement out."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "standards.md"
PLACES = {"": ROOT / "device_sdk", "sim:": ROOT / "simulators" / "device_sdk_simulators"}
STATES = re.compile(r"(done|partly|not done)(: .+)?")


@dataclass(frozen=True)
class Row:
    """One line of a table: what it is about, and the cells that can be checked."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    state: str


def read_rows(text: str) -> list[Row]:
    """The rows of all tables whose header has the columns module, test and state."""
    rows: list[Row] = []
    columns: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            columns = []
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not columns:
            columns = cells
        elif set("".join(cells)) != {"-"} and {"module", "test", "state"} <= set(columns):
            assert len(cells) == len(columns), line
            named = dict(zip(columns, cells, strict=True))
            rows.append(Row(cells[0], _code(named["module"]), _code(named["test"]), named["state"]))
    return rows


def _code(cell: str) -> tuple[str, ...]:
    found = tuple(re.findall(r"`([^`]+)`", cell))
    assert found or cell == "none", f"{cell!r} is neither `code` nor none"
    return found


@cache
def functions_of(path: Path) -> frozenset[str]:
    """Names of the test functions of a file, without importing it."""
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def missing_modules(rows: list[Row]) -> list[str]:
    """Modules that are named and do not exist."""
    named = {module for row in rows for module in row.modules}
    return sorted(module for module in named if not _module_path(module).is_file())


def _module_path(module: str) -> Path:
    prefix, colon, path = module.rpartition(":")
    return PLACES[prefix + colon] / path


def missing_tests(rows: list[Row]) -> list[str]:
    """Tests that are named and do not exist."""
    missing = []
    for test in sorted({test for row in rows for test in row.tests}):
        file, _, function = test.partition("::")
        path = ROOT / "tests" / file
        if not path.is_file() or function not in functions_of(path):
            missing.append(test)
    return missing


ROWS = read_rows(TABLE.read_text())
REQUIREMENTS = [row for row in ROWS if re.fullmatch(r"(EST|CALE)-\d+", row.name)]


def test_every_module_is_there() -> None:
    assert missing_modules(ROWS) == []


def test_every_test_is_there() -> None:
    assert missing_tests(ROWS) == []


def test_every_row_says_how_far_it_is() -> None:
    for row in ROWS:
        match = STATES.fullmatch(row.state)
        assert match, row
        if match[1] in {"partly", "not done"}:
            assert match[2], f"{row.name}: {match[1]} needs a reason"
        if match[1] == "done":
            assert row.tests, f"{row.name} is done, and no test shows it"


def test_no_requirement_is_twice_or_out_of_order() -> None:
    names = [row.name for row in REQUIREMENTS]
    assert len(names) == len(set(names))
    assert len([name for name in names if name.startswith("EST-")]) > 150
    assert len([name for name in names if name.startswith("CALE-")]) > 50


def test_every_requirement_that_code_or_tests_name_is_in_the_table() -> None:
    known = {row.name for row in REQUIREMENTS}
    files = [
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "device_sdk").rglob("*.py"),
        *(ROOT / "simulators").rglob("*.py"),
    ]
    named = {name for file in files for name in re.findall(r"\b(?:EST|CALE)-\d+\b", file.read_text())}
    assert len(named) > 100
    assert named - known == set()


def test_this_check_sees_what_is_missing() -> None:
    """The reader of the table finds a module and a test that are not there, and a row that says nothing."""
    header = "| id | module | test | state |\n|---|---|---|---|\n"
    rows = read_rows(header + "| EST-01 | `wire/nothing.py` `sim:no.py` | `wire/test_ber.py::test_nothing` | done |\n")
    assert missing_modules(rows) == ["sim:no.py", "wire/nothing.py"]
    assert missing_tests(rows) == ["wire/test_ber.py::test_nothing"]
    assert STATES.fullmatch("soon") is None
