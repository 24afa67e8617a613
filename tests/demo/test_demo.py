"""`./run demo`: what it says is true, what it prints can be used, and nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.demo.conftest import ROOT, Demo

pytestmark = pytest.mark.slow

KEYS = {"keystore", "key_uri", "extractable", "certificate_serial", "mac_address", "renewed_with", "cale_plaintext"}
INVITATION = "Everything keeps running"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demonstration that keeps running, and is ended by Ctrl-C."""
    demo = Demo(tmp_path_factory.mktemp("kept") / "tmp", "--json", "--keep")
    demo.wait_for("signed by its TPM, by OpenSSL")
    demo.wait_for("-noout -verify\n")
    yield demo
    os.killpg(demo.process.pid, signal.SIGINT)
    demo.end()


def _devices(demo: Demo) -> list[dict[str, Any]]:
    devices: list[dict[str, Any]] = json.loads(demo.data)["devices"]
    return devices


def test_json_is_one_object_and_nothing_is_left(tmp_path: Path) -> None:
    demo = Demo(tmp_path / "tmp", "--json")
    assert demo.end() == 0, demo.words
    assert list(json.loads(demo.data)) == ["devices"]
    devices = _devices(demo)
    assert [device["keystore"] for device in devices] == ["pkcs11", "tpm2"]
    for device in devices:
        assert device.keys() >= KEYS
        assert device["extractable"] is False
        assert device["renewed_with"] == "hardware-tls"
        assert device["key_uri"].startswith(device["keystore"] + ":")
        assert re.fullmatch("[0-9a-f]{16,40}", device["certificate_serial"])
        assert re.fullmatch("([0-9a-f]{2}:){5}[0-9a-f]{2}", device["mac_address"])
        assert json.loads(device["cale_plaintext"]) == {"foo": "bar"}
    assert demo.left_behind() == []


def test_words_and_table_are_for_people(kept: Demo) -> None:
    told, _, _ = kept.words.partition(INVITATION)
    assert all(len(line) <= 130 for line in told.splitlines() if not line.lstrip().startswith(("$", "key of ")))
    for row in (
        "device ",
        "keystore ",
        "key uri ",
        "certificate subject ",
        "certificate serial ",
        "renewed with ",
        "cale plaintext ",
    ):
        assert re.search(f"^{row}.*$", told, re.MULTILINE), row
    assert "None" not in told
    assert "\033[" not in told


def test_values_are_those_of_certificate_token_and_server_log(kept: Demo) -> None:
    (home,) = kept.directory.iterdir()
    log = [json.loads(line) for line in (home / "server" / "log.jsonl").read_text().splitlines()]
    for device in _devices(kept):
        shown = subprocess.run(
            ["openssl", "x509", "-in", home / device["device"] / "current.pem", "-noout", "-serial"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert int(shown.strip().removeprefix("serial="), 16) == int(device["certificate_serial"], 16)
        mine = [entry for entry in log if device["device"] in str(entry.get("subject"))]
        enrolled = next(e for e in mine if e["operation"] == "simpleenroll" and e["status"] == 200)
        renewed = next(e for e in mine if e["operation"] == "simplereenroll" and e["status"] == 200)
        assert enrolled["mac_address"] == device["mac_address"]
        assert enrolled["authentication"] != "tls"
        assert renewed["authentication"] == "tls"
        assert renewed["client_serial"] == enrolled["issued_serial"] != renewed["issued_serial"]
        assert renewed["issued_serial"] == device["certificate_serial"]


def test_every_printed_command_works(kept: Demo) -> None:
    _, _, invitation = kept.words.partition(INVITATION)
    commands = re.findall("^    (.+)$", invitation, re.MULTILINE)
    exports = [command for command in commands if command.startswith("export ")]
    assert {word for command in commands for word in ("curl", "openssl", "pkcs11-tool", "tpm2_getcap", "device-sdk")
            if word in command} == {"curl", "openssl", "pkcs11-tool", "tpm2_getcap", "device-sdk"}  # fmt: skip
    said = {}
    for command in commands:
        script = "\n".join(["set -eo pipefail", *exports, command])
        done = subprocess.run(
            ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert command in exports or done.stdout + done.stderr, command
        said[command] = done.stdout + done.stderr
    expected = {
        "pkcs11-tool": "never extractable",
        "s_client": "Verification: OK",
        "simpleenroll": "subject=CN = by-hand",
        "req -provider": "verify OK",
        "cale get": '{"foo": "bar"}',
        "doctor": "takes this device's certificate",
        "cacerts": "Reference Root CA",
    }
    for word, answer in expected.items():
        assert any(answer in text for command, text in said.items() if word in command), word


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_ends_everything(number: signal.Signals, tmp_path: Path) -> None:
    demo = Demo(tmp_path / "tmp", "--json")
    demo.wait_for("$ device-sdk enroll")
    if number is signal.SIGINT:
        os.killpg(demo.process.pid, number)  # a terminal sends it to everybody
    else:
        demo.process.send_signal(number)
    assert demo.end() == 128 + number
    assert "Traceback" not in demo.words
    assert demo.left_behind() == []
    assert demo.data == ""


def test_what_was_kept_ends_by_a_signal(tmp_path: Path) -> None:
    demo = Demo(tmp_path / "tmp", "--keep")
    demo.wait_for("-noout -verify\n", stream="data")
    (socket,) = set(re.findall(r"swtpm:path=(\S+)", demo.data))
    demo.process.send_signal(signal.SIGTERM)
    assert demo.end() == 0
    assert "Traceback" not in demo.words
    assert demo.left_behind() == []
    assert not Path(socket).parent.exists()
