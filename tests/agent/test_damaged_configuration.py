"""A device whose configuration is damaged, or names what is not there: it says who it is, and takes another one."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import Any

import pytest

from device_sdk.cli.commands.agent import _desk
from device_sdk.cli.main import build_parser
from device_sdk.cli.output import Output
from device_sdk.client.agent import Desk
from device_sdk.wire.agent.messages import Refusal, Request, Result

GOOD = b'[identity]\nserial = "SN-2"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    directory = tmp_path / "etc"
    (directory / "config.d").mkdir(parents=True)
    # what the owner says; a file that is named later counts more
    (directory / "config.d" / "a.toml").write_text('[identity]\nserial = "SN-1"\n[agent]\ncommands = ["true"]\n')
    return directory / "config.toml"


def desk_of(config: Path, *options: str) -> Desk:
    words = ["--config", str(config), "agent", "--stdio", *options]
    return _desk(build_parser("agent").parse_args(words), Output())


def ask(desk: Desk, op: str, **params: object) -> dict[str, Any]:
    answer = desk.answer(Request(secrets.token_hex(4), op, params))
    assert isinstance(answer, Result), answer
    return answer.result


def configure(desk: Desk, content: bytes = GOOD) -> Result | Refusal:
    return desk.answer(
        Request("c", "configure", {"config": base64.b64encode(content).decode(), "anchors": ""}),
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 300,
        b"\xff\xfe",
        b'[est]\nurl = "https',
        b"#" * (1 << 20),
        b"[est]\nurll = 1\n",
        b'[key]\nuri = "tpm2:handle=zzz"\n',
        b'[identity]\nmac = "eth-none"\n',
        b'[identity]\nhardware_type = "x.y"\n',
    ],
)
def test_another_one_is_taken(config: Path, tmp_path: Path, content: bytes) -> None:
    """What the owner says of it in config.d counts in between."""
    config.write_bytes(content)
    desk = desk_of(config, "--state", str(tmp_path / "state"))
    facts = ask(desk, "facts")
    assert facts["serial_number"] == "SN-1"
    assert ("configuration" in facts["extra"]) == (content != b"" and b"[identity]" not in content)
    assert ask(desk, "run", command=["true"], timeout=60)["status"] == 0
    assert isinstance(configure(desk), Result)
    assert "configuration" not in ask(desk, "facts")["extra"]
    assert config.read_bytes() == GOOD


@pytest.mark.parametrize("serial", ["dmi:product_nonesuch", "x" * 65, "device-tree"])
def test_a_serial_number_that_is_none(config: Path, tmp_path: Path, serial: str) -> None:
    """The one that counts without the file does."""
    config.write_text(f'state_dir = "{tmp_path}/state"\n[identity]\nserial = "{serial}"\n')
    (config.parent / "config.d" / "a.toml").write_text("")
    answer = desk_of(config).answer(Request("f", "facts", {}))
    if isinstance(answer, Refusal):
        assert "nothing" in answer.message, "this machine has no serial number of its own"
    else:
        assert answer.result["extra"]["configuration"]
    assert isinstance(configure(desk_of(config)), Result)


def test_a_key_that_is_none_is_not_taken(config: Path) -> None:
    answer = configure(desk_of(config), b'[key]\nuri = "tpm2:handle=zzz"\n')
    assert isinstance(answer, Refusal)
    assert answer.code == "bad-uri"
    assert not config.exists()


def test_where_nobody_knows_whether_it_is_enrolled(config: Path, tmp_path: Path) -> None:
    """The file may have said where the state is: who is not allowed to provision it again does not."""
    config.write_text(f'state_dir = "{tmp_path}/state"\n[est')
    answer = configure(desk_of(config))
    assert isinstance(answer, Refusal)
    assert "--state DIR" in str(answer.hint)
    assert isinstance(desk_of(config).answer(Request("f", "facts", {})), Result)
    assert isinstance(configure(desk_of(config, "--allow-enrolled")), Result)


def test_a_damaged_file_of_the_owners(config: Path, tmp_path: Path) -> None:
    """It is not a station's to mend; the device says so."""
    (config.parent / "config.d" / "b.toml").write_text("x y z")
    desk = desk_of(config, "--state", str(tmp_path / "state"))
    answer = desk.answer(Request("f", "facts", {}))
    assert "b.toml" in str(answer)
