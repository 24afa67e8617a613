"""`--json` everywhere: stdout is one JSON document and nothing else, words are on stderr; for errors, too."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Lab

pytestmark = pytest.mark.slow


def test_every_command(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "world-readable").write_text(lab.server.password)  # earns a warning, on stderr
    login = ("--user", "device", "--password-file", tmp_path / "world-readable")
    key, cale = f"file:{lab.keys}/k.pem", f"file:{lab.keys}/cale.pem"
    state = ("--state", lab.state)
    out = tmp_path / "out.pem"
    done = []

    def ok(*words: object, code: int = 0) -> None:
        done.append(words)
        result = lab.cli(*words, "--json")
        assert result.code == code, (words, result)
        assert isinstance(result.json, dict), words
        assert all(line.startswith(("device-sdk: ", "note: ")) for line in result.err.splitlines())

    ok("keys", "create", key, "--type", "ec-p256")
    for verb in ("list", "show", "probe"):
        ok("keys", verb, key)
    ok("csr", "--key", key, "--subject", "CN=x")
    ok("csr", "--key", key, "--subject", "CN=x", "--out", tmp_path / "x.csr")
    for operation in ("cacerts", "csrattrs"):
        ok("est", operation, *lab.trust)
        ok("est", operation, *lab.trust, "--out", tmp_path / "x")
    ok("est", "enroll", *lab.trust, *login, "--key", key, "--subject", "CN=x", "--out", out)
    ok("est", "reenroll", "--same-key", *lab.trust, "--key", key, "--cert", out)
    ok("keys", "store-certificate", key, out)
    ok("keys", "certificate", key)
    ok("keys", "certificate", key, "--out", tmp_path / "x")
    ok("needs-renewal", *state, code=2)
    ok("show", *state)
    ok("enroll", *state, "--key", f"file:{lab.keys}/d.pem", *lab.trust, *login, "--subject", "CN=x")
    ok("needs-renewal", *state, code=1)
    ok("renew", *state)
    ok("renew", *state, "--if-needed")
    ok("sync", *state, "--plan")
    ok("sync", *state)
    for verb in ("list", "send"):
        ok("outbox", verb, *state)
    ok("anchors", "import", *state, lab.server.ca_file, code=2)
    ok("anchors", "list", *state)
    ok("abandon", *state)
    ok("show", *state)
    ok("doctor", *state)
    ok("doctor", *state, "--online")
    ok("keys", "create", cale, "--type", "rsa-2048")
    ok("cale", "register", *state, "--url", lab.server.cale_url, "--key", cale)
    ok("cale", "get", "/resource", *state)
    ok("cale", "get", "/resource", *state, "--out", tmp_path / "x")
    ok("cale", "whoami", *state)
    ok("cale", "decrypt", "--key", cale, "--in", out, "--out", tmp_path / "x", code=10)
    ok("keys", "delete", cale)
    ok("config")
    ok("config", "--template")
    for shell in ("bash", "zsh"):
        ok("completion", shell)
    ok("bench", "facts", *state)
    ok("agent", *state, "--line", tmp_path / "no-line", code=12)
    ok("provision", "run", tmp_path / "no-profile.toml", code=2)
    ok("provision", "ledger", "verify", "--ledger", tmp_path / "no-ledger.sqlite", code=13)
    from device_sdk.cli.main import _COMMANDS

    assert {words[0] for words in done} == set(_COMMANDS)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("no-such-command",),
        ("keys",),
        ("keys", "create", "file:/x"),
        ("keys", "show", "nonsense"),
        ("keys", "show", "file:/nonexistent"),
        ("csr",),
        ("est", "cacerts", "--url", "https://localhost:1", "--implicit"),
        ("est", "cacerts", "--timeout", "soon"),
        ("enroll", "--pin", "x"),
        ("renew", "--state", "none"),
        ("cale", "decrypt", "--key", "file:/x", "--in", "/nonexistent", "--out", "x"),
        ("completion", "fish"),
        ("config", "--frobnicate"),
    ],
)
def test_every_error(words: tuple[str, ...], cli: Cli) -> None:
    plain = cli(*words)
    assert plain.out == ""
    machine = cli(*words, "--json")
    assert machine.code == plain.code != 0
    assert machine.err == plain.err
    assert machine.error["message"] in machine.err
    assert set(machine.error) >= {"code", "message", "hint"}


def test_a_defect_is_json_too(cli: Cli) -> None:
    defect = "import device_sdk.cli.settings as s\ns._read_files = lambda *a, **k: 1 / 0\n"
    failed = cli("config", "--json", before=defect)
    assert (failed.code, failed.error["code"]) == (255, "defect")
    assert "ZeroDivisionError" in failed.error["message"]
    assert failed.err.count("\n") == 1
    loud = cli("config", before=defect, env={"DEVICE_SDK_TRACEBACK": "1"})
    assert "Traceback" in loud.err


def test_the_template_holds_every_setting(cli: Cli) -> None:
    template = cli.ok("config", "--template").out
    filled = tomllib.loads("\n".join(line[2:] if " = " in line else line for line in template.splitlines()))
    names = {f"{section}.{key}" for section, table in filled.items() if isinstance(table, dict) for key in table}
    names |= {key for key, value in filled.items() if not isinstance(value, dict)}
    assert names == set(json.loads(cli.ok("config", "--json").out))


@pytest.mark.slow
def test_names_that_no_terminal_can_show(cli: Cli, tmp_path: Path) -> None:
    """Output goes on where the terminal's encoding has no such letter, and control characters reach no terminal."""
    key = f"file:{tmp_path}/key.pem"
    cli.ok("keys", "create", key, "--type", "ec-p256")
    latin = {"PYTHONIOENCODING": "ascii:strict"}
    assert cli.ok("csr", "--key", key, "--subject", "CN=Köln", "--json", env=latin).json["subject"] == "CN=Köln"
    assert "x [31m" in cli.fails(2, "est", "cacerts", "--url", "https://localhost", "--anchors", "x\x1b[31m", env=latin)
