from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from tests.simulators.command import SIM


def _tool(token: SoftHsm, *arguments: str) -> str:
    command = ["pkcs11-tool", "--module", token.module_path, "--token-label", token.label, *arguments]
    return subprocess.run(
        command, env=os.environ | token.environment | {"PIN": token.pin}, capture_output=True, text=True, check=True
    ).stdout


def test_pkcs11_tool_makes_and_lists_a_key_on_the_token(softhsm_token: SoftHsm) -> None:
    _tool(softhsm_token, "--login", "--pin", "env:PIN", "--keypairgen", "--key-type", "EC:prime256v1", "--label", "k")
    listed = _tool(softhsm_token, "--login", "--pin", "env:PIN", "--list-objects")
    assert "Private Key Object; EC" in listed
    assert softhsm_token.serial in listed.replace("\n", " ") or softhsm_token.serial


def test_two_tokens_do_not_see_each_other(tmp_path: Path) -> None:
    with SoftHsm(tmp_path / "a") as a, SoftHsm(tmp_path / "b") as b:
        assert a.serial != b.serial
        assert a.serial not in _tool(b, "--list-slots")


def test_a_token_is_found_again_in_its_directory(tmp_path: Path) -> None:
    with SoftHsm(tmp_path / "a") as first:
        serial, pin = first.serial, first.pin
    with SoftHsm(tmp_path / "a") as again:
        assert (again.serial, again.pin) == (serial, pin)


def test_two_tokens_may_have_one_label(softhsm_token: SoftHsm) -> None:
    assert softhsm_token.add_token(softhsm_token.label) != softhsm_token.serial


def test_the_pin_file_is_private(softhsm_token: SoftHsm) -> None:
    assert softhsm_token.pin_file.stat().st_mode & 0o777 == 0o600
    assert softhsm_token.pin_file.read_text() == softhsm_token.pin


def test_a_temporary_token_leaves_nothing_behind() -> None:
    with SoftHsm() as token:
        directory = token.directory
    assert not directory.exists()


def test_command_line_runs_a_command_with_the_token() -> None:
    done = subprocess.run(
        [*SIM, "softhsm", "--label", "bench", "--", "softhsm2-util", "--show-slots"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "bench" in done.stdout


def test_a_command_finds_the_token_and_its_pin_in_its_environment() -> None:
    script = (
        "import os, sys; print(os.environ['TOKEN_URI']); print(open(os.environ['TOKEN_PIN_FILE']).read().isdigit())"
    )
    words = [*SIM, "softhsm", "--label", "bench", "--", sys.executable, "-c", script]
    uri, has_pin = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert uri.startswith("pkcs11:token=bench?module-path=")
    assert "pin-source=file:" in uri
    assert has_pin == "True"


def test_command_line_serves_until_sigterm_and_cleans_up() -> None:
    with subprocess.Popen([*SIM, "softhsm", "--json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        assert Path(facts["pin_file"]).exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert not Path(facts["pin_file"]).exists()


def test_uris_and_paths_hold_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories may be relative, and their names may have spaces and letters of any script."""
    monkeypatch.chdir(tmp_path)
    with SoftHsm(Path("tok en ü")) as token:
        assert token.conf.is_absolute()
        pin_source = token.uri.partition("pin-source=")[2]
        assert pin_source == f"file:{quote(str(tmp_path))}/tok%20en%20%C3%BC/pin"
        monkeypatch.chdir("/")
        assert token.label in _tool(token, "--list-slots")


@pytest.mark.slow
def test_swtpm_in_a_relative_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Swtpm(Path("tp m")) as tpm:
        assert str(tpm.socket).startswith("/")
