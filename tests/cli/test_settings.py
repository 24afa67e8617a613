"""Flag before environment before config.d before config.toml before default."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import pytest

from device_sdk.cli.settings import SETTINGS, Settings, add_settings
from device_sdk.errors import ConfigurationError
from tests.cli.conftest import Cli


def _settings(tmp_path: Path, *words: str, environment: dict[str, str] | None = None) -> Settings:
    parser = argparse.ArgumentParser()
    add_settings(parser, "est.url", "est.implicit", "est.pins", "est.wait_s")
    return Settings(parser.parse_args(list(words)), environment or {}, config=str(tmp_path / "config.toml"))


@pytest.fixture(autouse=True)
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text('[est]\nurl = "https://file"\nimplicit = true\npins = ["sha256:aa"]\nwait_s = 5\n')
    return file


def test_file(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    assert (settings.text("est.url"), settings.switch("est.implicit")) == ("https://file", True)
    assert (settings.list("est.pins"), settings.number("est.wait_s")) == (("sha256:aa",), 5.0)


def test_drop_in_directory_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.d").mkdir()
    (tmp_path / "config.d" / "10-a.toml").write_text('[est]\nurl = "https://a"\n')
    (tmp_path / "config.d" / "20-b.toml").write_text('[est]\nurl = "https://b"\n')
    assert _settings(tmp_path).text("est.url") == "https://b"


def test_environment_wins_over_files_and_flags_over_all(tmp_path: Path) -> None:
    environment = {"DEVICE_SDK_EST_URL": "https://env", "DEVICE_SDK_EST_IMPLICIT": "no", "DEVICE_SDK_EST_PINS": "x y"}
    settings = _settings(tmp_path, environment=environment)
    assert (settings.text("est.url"), settings.switch("est.implicit")) == ("https://env", False)
    assert settings.list("est.pins") == ("x", "y")
    settings = _settings(tmp_path, "--url", "https://flag", "--implicit", environment=environment)
    assert (settings.text("est.url"), settings.switch("est.implicit")) == ("https://flag", True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[est]\nurll = 'x'\n", "unknown setting 'est.urll'"),
        ("[est]\npassword = 'x'\n", "unknown setting 'est.password'"),
        ("[est]\nurl = 5\n", "est.url must be a text"),
        ("[est]\npins = 'x'\n", "est.pins must be a list"),
        ("[est\n", "cannot read configuration"),
    ],
)
def test_mistakes_name_the_file_and_the_key(tmp_path: Path, config: Path, text: str, words: str) -> None:
    config.write_text(text)
    with pytest.raises(ConfigurationError, match=words) as caught:
        _settings(tmp_path)
    assert str(config) in str(caught.value)


def test_a_named_file_must_be_there(tmp_path: Path, config: Path) -> None:
    config.unlink()
    with pytest.raises(ConfigurationError, match="No such file"):
        _settings(tmp_path)


def test_a_missing_value_says_the_three_ways_to_set_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"key\.uri is not set .*--key.*DEVICE_SDK_KEY_URI.*config\.toml"):
        _settings(tmp_path).require("key.uri")


def test_bad_environment_value(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="DEVICE_SDK_EST_WAIT_S must be a number"):
        _settings(tmp_path, environment={"DEVICE_SDK_EST_WAIT_S": "soon"}).number("est.wait_s")


def test_every_setting_has_its_own_variable_and_no_secret_is_one() -> None:
    variables = [setting.variable for setting in SETTINGS]
    assert len(variables) == len(set(variables))
    assert not any(setting.name.endswith(("password", "pin", "passphrase")) for setting in SETTINGS)


def test_the_template_is_toml_that_sets_nothing(cli: Cli) -> None:
    template = cli.ok("config", "--template").out
    assert tomllib.loads(template) == {section: {} for section in tomllib.loads(template)}
    filled = tomllib.loads("\n".join(line[2:] if " = " in line else line for line in template.splitlines()))
    assert filled["est"]["url"] == ""
