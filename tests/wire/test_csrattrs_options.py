"""`device-sdk-sim server --demands` and its neighbours, and `one-time-password`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
from device_sdk_simulators.cli import demands
from device_sdk_simulators.cli.main import main
from device_sdk_simulators.cli.speaking import UsageError
from device_sdk_simulators.csr_demand import Demand, DemandedExtension
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.server import ReferenceServer

README = Path(__file__).parents[2] / "simulators" / "README.md"


def parsed(*words: str) -> Policy:
    parser = argparse.ArgumentParser()
    demands.add_options(parser.add_argument_group("policy"))
    policy = Policy()
    demands.apply(policy, parser.parse_args(words))
    return policy


def test_without_options_the_policy_is_the_careful_one() -> None:
    assert vars(parsed()) == vars(Policy())


@pytest.mark.parametrize("name", list(demands._SWITCHES))
def test_every_switch_is_a_policy(name: str) -> None:
    assert getattr(parsed(f"--{name.replace('_', '-')}"), name) is True
    assert getattr(Policy(), name) is False


def test_the_example_of_the_readme(tmp_path: Path) -> None:
    found = re.search(r"```json\n(.*?)```", README.read_text(), re.S)
    assert found
    (tmp_path / "demands.json").write_text(found.group(1))
    first, second = parsed("--demands", str(tmp_path / "demands.json"), "--change-subject-name", "any").demands
    assert first == Demand(
        form="rfc9908", device="SN-1", key="ec-p384", subject=(("2.5.4.3", None), ("2.5.4.11", "lab")),
        extensions=(DemandedExtension("2.5.29.15", critical=True, value=bytes.fromhex("03020780")), DemandedExtension("2.5.29.37")),
    )  # fmt: skip
    assert (second.label, second.mac_address, second.enforce) == ("lab", True, False)


@pytest.mark.parametrize(
    "text",
    ["", "{}x", "5", "{}", "[5]", '["x"]', '[{"form": "x"}]', '[{"colour": 1}]', '[{"extensions": [{}]}]', "[" * 5000,
     '[{"key": "ec-p256k1"}]', '[{"key": 5}]', '[{"user": 5}]', '[{"label": "cacerts"}]', '[{"signature": "sha256"}]',
     '[{"mac_address": "no"}]', '[{"enforce": 0}]', '[{"attributes": "1.2.3"}]', '[{"attributes": ["macAddress"]}]',
     '[{"subject": "CN=x"}]', '[{"subject": [["2.5.4.3"]]}]', '[{"subject": [["2.5.4.3", 5]]}]', '[{"subject": [["CN", null]]}]',
     '[{"extensions": {}}]', '[{"extensions": [{"oid": "2.5.29.15", "value": "zz"}]}]',
     '[{"extensions": [{"oid": "2.5.29.15", "value": "030207"}]}]', '[{"extensions": [{"oid": "2.5.29.15", "value": ""}]}]',
     '[{"extensions": [{"oid": "2.5.29.15", "critical": "yes"}]}]', '[{"extensions": [{"oid": "2.5.29.15", "colour": 1}]}]'],
)  # fmt: skip
def test_a_file_that_is_no_list_of_demands(tmp_path: Path, text: str) -> None:
    (tmp_path / "demands.json").write_text(text)
    with pytest.raises(UsageError, match="--demands"):
        parsed("--demands", str(tmp_path / "demands.json"))
    with pytest.raises(UsageError, match="No such file"):
        parsed("--demands", str(tmp_path / "other"))


def test_one_time_passwords_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It works on the state directory while the server runs; only a hash is kept."""
    with ReferenceServer(tmp_path / "server") as server:
        assert main(["one-time-password", "--state", str(tmp_path / "server")]) == 0
        password = capsys.readouterr().out.strip()
        assert server.est.requirements.challenges._claim(password, "00" * 32)
        assert not server.est.requirements.challenges._claim(password, "11" * 32)
    assert password.encode() not in (tmp_path / "server" / "server.sqlite").read_bytes()
