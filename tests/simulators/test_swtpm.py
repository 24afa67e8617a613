from __future__ import annotations

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from device_sdk_simulators.softhsm import SimulatorError
from device_sdk_simulators.swtpm import Swtpm

from tests.simulators.command import SIM


def _tool(tpm: Swtpm, *command: str) -> str:
    return subprocess.run(
        command, env=os.environ | tpm.environment, capture_output=True, text=True, check=True, timeout=30
    ).stdout


@pytest.mark.slow
def test_tpm2_tools_reach_it(swtpm: Swtpm) -> None:
    assert "TPM2_PT_MANUFACTURER" in _tool(swtpm, "tpm2_getcap", "properties-fixed")


@pytest.mark.slow
def test_a_power_cut_loses_transient_objects_and_keeps_persistent_ones(swtpm: Swtpm, tmp_path: Path) -> None:
    context = str(tmp_path / "primary.ctx")
    _tool(swtpm, "tpm2_createprimary", "-Q", "-C", "o", "-G", "ecc", "-c", context)
    _tool(swtpm, "tpm2_evictcontrol", "-Q", "-C", "o", "-c", context, "0x81000001")
    swtpm.kill()
    with pytest.raises(SimulatorError):
        _ = swtpm.pid
    swtpm.restart()
    assert _tool(swtpm, "tpm2_getcap", "handles-transient").strip() == ""
    assert "0x81000001" in _tool(swtpm, "tpm2_getcap", "handles-persistent")


@pytest.mark.slow
def test_several_start_side_by_side(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        tpms = list(pool.map(lambda number: Swtpm(tmp_path / str(number)), range(4)))
    try:
        assert len({_tool(tpm, "tpm2_getrandom", "--hex", "16") for tpm in tpms}) == 4
    finally:
        for tpm in tpms:
            tpm.close()


@pytest.mark.slow
def test_a_long_directory_name_still_gives_a_usable_socket(tmp_path: Path) -> None:
    with Swtpm(tmp_path / ("d" * 100)) as tpm:
        assert len(_tool(tpm, "tpm2_getrandom", "--hex", "4")) == 8
        sockets = tpm.socket.parent
    assert not sockets.exists()


@pytest.mark.slow
def test_command_line_ends_the_process_on_sigterm() -> None:
    with subprocess.Popen([*SIM, "swtpm", "--json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        os.kill(facts["pid"], 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(facts["pid"], 0)
