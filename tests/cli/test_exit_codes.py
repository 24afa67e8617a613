"""docs/operations.md has the exit codes; the errors have them, too; --help has them in short."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from device_sdk import errors
from device_sdk.errors import DeviceSdkError
from tests.cli.conftest import Cli

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
# the command line's own, which no exception has: success, "no", interrupted, a closed pipe
OWN = {0, 1, 130, 141}


def _documented() -> dict[int, str]:
    text = OPERATIONS.read_text().partition("## Exit codes")[2].partition("\n## ")[0]
    return {int(code): words for code, words in re.findall(r"^\| (\d+) \| ([^|]*) \|", text, re.MULTILINE)}


def _raised() -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, DeviceSdkError):
            found.setdefault(kind.exit_code, []).append(name)
    return found


def test_the_table_is_complete_and_true() -> None:
    assert set(_documented()) == set(_raised()) | OWN


def test_every_row_says_what_its_errors_are() -> None:
    documented = _documented()
    words = {2: "configuration", 3: "keystore", 4: "PIN", 5: "network", 6: "not the one", 7: "refused", 8: "pending",
             9: "state directory", 10: "not for this key", 11: "clock", 255: "defect"}  # fmt: skip
    for code, word in words.items():
        assert word in documented[code], code
    kinds = _raised()
    assert "ConfigurationError" in kinds[2]
    assert "TokenNotFoundError" in kinds[3]
    assert sorted(kinds[4]) == ["PinIncorrectError", "PinLockedError", "PinRefusedError", "PinRequiredError"]
    assert kinds[11] == ["ClockError"]


def test_help_has_the_same(cli: Cli) -> None:
    text = " ".join(cli.ok("--help").out.partition("exit codes: ")[2].split())
    assert {int(code) for code in re.findall(r"(?:^|, )(\d+) ", text)} == set(_documented())


def test_a_package_that_is_not_installed_is_no_defect() -> None:
    """A board with what its distribution has."""
    words = (
        "import sys; sys.modules['asn1crypto'] = None; from device_sdk.cli.main import main; "
        "sys.exit(main(['bench', 'facts', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the Python package asn1crypto is not installed" in done.stderr
