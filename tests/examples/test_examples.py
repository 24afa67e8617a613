"""Every example program runs, as a person would run it, against real parts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

EXAMPLES = Path(__file__).parents[2] / "examples"
LISTED = {"enrol_with_token.py", "enrol_with_tpm.py", "cale_with_requests.py"}


def _run(name: str, *words: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_example_is_without_a_test() -> None:
    assert {file.name for file in EXAMPLES.glob("*.py")} == LISTED


@pytest.mark.slow
def test_enrol_with_token(softhsm_token: SoftHsm, est_server: ReferenceServer, tmp_path: Path) -> None:
    said = _run(
        "enrol_with_token.py", tmp_path / "state", softhsm_token.uri_of("device-key"), est_server.url,
        f"sha256:{est_server.ca_sha256}", str(est_server.user), est_server.password_file,
    )  # fmt: skip
    assert "enrolled CN=router-7,O=Example" in said
    assert "extractable: False" in said
    assert "with the token's key: 200" in said
    operations = [(entry["operation"], entry["authentication"]) for entry in est_server.log() if entry["status"] == 200]
    assert ("simplereenroll", "tls") in operations


@pytest.mark.slow
def test_enrol_with_tpm(swtpm: Swtpm, est_server: ReferenceServer, tmp_path: Path) -> None:
    said = _run(
        "enrol_with_tpm.py", f"tpm2:file={tmp_path}/key.pem", est_server.url, f"sha256:{est_server.ca_sha256}",
        str(est_server.user), est_server.password_file,
    )  # fmt: skip
    assert "'fixedTPM': True" in said or "'fixedtpm': True" in said.lower()
    assert "renewed over TLS with the TPM's key" in said
    serials = [entry["issued_serial"] for entry in est_server.log() if entry.get("issued_serial")]
    assert said.strip().endswith(str(serials[-1]))


@pytest.mark.slow
def test_cale_with_requests(softhsm_token: SoftHsm, cale_server: ReferenceServer, tmp_path: Path) -> None:
    said = _run(
        "cale_with_requests.py", softhsm_token.uri_of("cale-key"), cale_server.cale_url, cale_server.ca_file,
        str(cale_server.user), cale_server.password_file,
    )  # fmt: skip
    assert '{"foo": "bar"}' in said
