"""Shell completion: the scripts of the package are those of today's parser, and bash can use them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import device_sdk.cli.completions
from tests.cli.conftest import Cli

SCRIPTS = Path(device_sdk.cli.completions.__file__).parent


def _generated(shell: str) -> str:
    words = ["-m", "shtab", f"--shell={shell}", "--prog", "device-sdk", "device_sdk.cli.completions.completable_parser"]
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_committed_script_is_current(shell: str, cli: Cli) -> None:
    """`./run completions` makes it."""
    committed = (SCRIPTS / f"device-sdk.{shell}").read_text()
    assert committed == _generated(shell)
    assert cli.ok("completion", shell).out == committed.rstrip("\n") + "\n"
    assert cli.ok("completion", shell, "--json").json["script"] == committed


def _complete(script: Path, *words: str) -> set[str]:
    """What bash offers for the last word when Tab is pressed behind it."""
    program = """
        source "$0"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMP_TYPE=9
        function=$(complete -p device-sdk | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
        $function device-sdk "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", program, script, *words], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_completes(cli: Cli, tmp_path: Path) -> None:
    script = tmp_path / "device-sdk.bash"
    script.write_text(cli.ok("completion", "bash").out)
    assert _complete(script, "device-sdk", "ke") == {"keys"}
    assert _complete(script, "device-sdk", "en") == {"enroll"}
    assert _complete(script, "device-sdk", "keys", "") >= {"create", "list", "show", "delete", "probe"}
    assert _complete(script, "device-sdk", "keys", "create", "--ty") == {"--type"}
    assert _complete(script, "device-sdk", "keys", "create", "--type", "ec-") == {"ec-p256", "ec-p384", "ec-p521"}
    assert _complete(script, "device-sdk", "est", "enroll", "--an") == {"--anchors"}
    (tmp_path / "anchors.pem").touch()
    offered = _complete(script, "device-sdk", "est", "enroll", "--anchors", f"{tmp_path}/anch")
    assert offered == {f"{tmp_path}/anchors.pem"}


def test_bash_takes_the_script_as_it_is(cli: Cli) -> None:
    subprocess.run(["bash", "-n", "-c", cli.ok("completion", "bash").out], check=True)


def test_zsh_finds_its_header_and_every_command(cli: Cli) -> None:
    script = cli.ok("completion", "zsh").out
    assert script.startswith("#compdef device-sdk\n")
    for command in re.findall(r"^    (\S+)  ", cli.ok("--help").out, re.MULTILINE):
        assert f'"{command}:' in script or f"({command})" in script or command in script
