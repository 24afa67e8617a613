"""TOML, config.d, environment and flags, through real commands: the later one wins, key by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_sdk.cli.settings import SETTINGS
from tests.cli.conftest import Cli, Lab

pytestmark = pytest.mark.slow


def test_precedence_key_by_key(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'state_dir = "/file"\n[est]\nurl = "https://file"\nlabel = "file"\nwait_s = 1\n'
    )
    (tmp_path / "config.d").mkdir()
    (tmp_path / "config.d" / "10.toml").write_text('[est]\nurl = "https://ten"\nlabel = "ten"\nuser = "ten"\n')
    (tmp_path / "config.d" / "20.toml").write_text('[est]\nurl = "https://twenty"\nlabel = "twenty"\n')
    (tmp_path / "config.d" / "30.toml.disabled").write_text('[est]\nlabel = "disabled"\n')
    values = cli.ok("config", "--json", env={"DEVICE_SDK_EST_URL": "https://environment"}).json
    assert {name: values[name] for name in ("state_dir", "est.url", "est.label", "est.user", "est.wait_s", "cale.application")} == {
        "state_dir": "/file", "est.url": "https://environment", "est.label": "twenty", "est.user": "ten", "est.wait_s": 1,
        "cale.application": "default",
    }  # fmt: skip


@pytest.mark.slow
def test_a_device_configured_by_file_alone(lab: Lab, tmp_path: Path) -> None:
    """Every key of an enrolment in config.toml; then the same by environment; flags win over both."""
    server = lab.server
    (tmp_path / "config.toml").write_text(f"""
        state_dir = "{lab.state}"
        [key]
        uri = "file:{lab.keys}/device.pem"
        type = "ec-p384"
        [est]
        url = "{server.url}"
        pins = ["sha256:{"00" * 32}", "{lab.pin}"]
        user = "device"
        password_file = "{server.password_file}"
        [identity]
        subject = "CN=from-file"
        san = ["DNS:from-file.example", "URI:urn:dev:7"]
        mac = "00:00:5e:00:53:07"
        serial_command = ["echo", "serial 42"]
    """)
    first = lab.cli.ok("enroll", "--json").json
    assert first["certificate"]["subject"] == "serialNumber=serial 42,CN=from-file"
    assert lab.cli.ok("keys", "show", first["key_uri"], "--json").json["key_type"] == "ec-p384"
    assert lab.cli("needs-renewal").code == 1
    environment = {
        "DEVICE_SDK_STATE_DIR": str(tmp_path / "second"),
        "DEVICE_SDK_KEY_URI": f"file:{lab.keys}/second.pem",
        "DEVICE_SDK_IDENTITY_SUBJECT": "CN=from-environment",
        "DEVICE_SDK_IDENTITY_SAN": "DNS:a.example 'dirName:CN=with space'",
        "DEVICE_SDK_IDENTITY_SERIAL_COMMAND": "printf %s 'number 43'",
    }
    second = lab.cli.ok("enroll", "--json", env=environment).json
    assert second["certificate"]["subject"] == "serialNumber=number 43,CN=from-environment"
    third = lab.cli.ok(
        "enroll", "--state", tmp_path / "third", "--key", f"file:{lab.keys}/third.pem", "--subject", "CN=flag", "--json", env=environment
    ).json  # fmt: skip
    assert third["certificate"]["subject"] == "serialNumber=number 43,CN=flag"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[est]\nurll = 'x'\n", "unknown setting 'est.urll'"),
        ("[est]\npassword = 'x'\n", "unknown setting 'est.password'"),
        ("[est]\nwait_s = 'long'\n", "est.wait_s must be a number"),
        ("[est]\nimplicit = 'yes'\n", "est.implicit must be a switch"),
        ("[key]\ntype = 'ec-p255'\n", "key.type is 'ec-p255'; it must be one of"),
        ("[est\n", "line 1"),
        ("\xff", "cannot read configuration"),
    ],
)
def test_mistakes_name_the_file(content: str, said: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(content.encode("latin-1"))
    line = cli.fails(2, "config")
    assert said in line
    assert f"{tmp_path}/config.toml" in line


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("DEVICE_SDK_EST_WAIT_S", "soon", "must be a number"),
        ("DEVICE_SDK_EST_WAIT_S", "nan", "must be a number up to"),
        ("DEVICE_SDK_EST_WAIT_S", "-1", "cannot be negative"),
        ("DEVICE_SDK_EST_TIMEOUT_S", "1e6", "at most 86400"),
        ("DEVICE_SDK_EST_IMPLICIT", "perhaps", "must be a switch"),
        ("DEVICE_SDK_EST_PINS", "'sha256:00", "must be a list"),
    ],
)
def test_mistakes_name_the_variable(variable: str, value: str, said: str, cli: Cli) -> None:
    line = cli.fails(2, "enroll", "--url", "https://localhost", "--key", "file:/x", "--subject", "CN=x",
                     *(() if variable.endswith(("PINS", "IMPLICIT")) else ("--implicit",)), env={variable: value})  # fmt: skip
    assert said in line
    assert variable in line or variable.removeprefix("DEVICE_SDK_EST_").lower() in line


def test_a_configuration_that_is_named_must_be_there(cli: Cli, tmp_path: Path) -> None:
    assert "No such file" in cli.fails(2, "--config", tmp_path / "none.toml", "config")
    assert "No such file" in cli.fails(2, "config", env={"DEVICE_SDK_CONFIG": str(tmp_path / "none.toml")})
    assert "Is a directory" in cli.fails(2, "config", "--config", tmp_path)
    (tmp_path / "keys").write_text('state_dir = "/named"\n')  # a file with the name of a command
    assert cli.ok("--config", "keys", "config", "--json").json["state_dir"] == "/named"


def test_config_lists_every_setting_with_flag_and_variable(cli: Cli) -> None:
    text = cli.ok("config").out
    for setting in SETTINGS:
        assert f"{setting.name} " in text
        assert setting.variable in text
    assert len(text.splitlines()) == len(SETTINGS)


@pytest.mark.slow
def test_trust_of_a_flag_replaces_the_configured_one(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(f'[est]\nurl = "{lab.server.url}"\npins = ["sha256:{"00" * 32}"]\n')
    lab.cli.fails(6, "est", "cacerts")
    lab.cli.ok("est", "cacerts", "--anchors", lab.server.ca_file)
    lab.cli.ok("est", "cacerts", "--pin", lab.pin)
    lab.cli.ok("est", "cacerts", env={"DEVICE_SDK_EST_ANCHORS": str(lab.server.ca_file)})


def test_an_empty_variable_means_not_set(cli: Cli) -> None:
    assert "est.url is not set" in cli.fails(2, "est", "cacerts", "--implicit", env={"DEVICE_SDK_EST_URL": ""})
