"""Real processes: two at once, and file systems that do not want to."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import pytest

from device_sdk.client.device import Device
from device_sdk.keystores import registry
from device_sdk.state import Phase
from tests.mounts import UNSHARE

pytestmark = pytest.mark.slow

READ_ONLY = 'mount --bind "$0" "$0"; mount -o remount,ro,bind "$0"; exec "$@"'


@pytest.mark.slow
def test_one_of_two_processes_is_told_who_is_at_work(new_runner, spec, file_keys, est_server) -> None:
    est_server.policy.require_approval = True
    device, outcome = Device(spec["state"]), []
    first, second = new_runner(), new_runner()
    thread = threading.Thread(target=lambda: outcome.append(first.run("enroll", spec | {"wait_s": "60"})))
    thread.start()
    deadline = time.monotonic() + 30
    while (journal := device.state.journal()) is None or journal.phase is not Phase.PENDING:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    holder = (Path(spec["state"]) / "lock").read_text().strip()
    refused = second.run("enroll", spec)["error"]
    assert refused.startswith("StateBusyError")
    assert f"process {holder} " in refused
    est_server.est.queue.decide(None, approve=True)
    thread.join(60)
    assert outcome[0]["error"] is None
    second.finish("enroll", spec)
    assert len(registry.list_keys(file_keys)) == 1
    assert device.state.check() == ()


@pytest.mark.slow
def test_two_processes_that_wait_for_each_other_issue_once(new_runner, spec, file_keys, est_server) -> None:
    errors, patient = [], spec | {"lock_wait_s": "60"}
    runners = [new_runner(), new_runner()]
    threads = [threading.Thread(target=lambda r=r: errors.append(r.run("enroll", patient)["error"])) for r in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == [None, None]
    issued = [entry for entry in est_server.log() if entry["operation"] == "simpleenroll" and entry["status"] == 200]
    assert len(issued) == 1
    assert len(registry.list_keys(file_keys)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 5, 300, 1000, 1500])
def test_a_disk_that_fills_up_on_the_way_costs_nothing(runner, spec, file_keys, limit: int) -> None:
    """Writes fail at other places with other limits: lock file, journal, key, certificate."""
    device = Device(spec["state"])
    error = runner.run("enroll", spec | {"file_size": str(limit)})["error"]
    assert error.startswith(("StateNotWritableError", "KeyStoreError"))
    assert "File too large" in error
    made = [info.spki_sha256 for info in registry.list_keys(file_keys)]
    assert not made or device.state.journal() is not None
    runner.finish("enroll", spec)
    assert made in ([], [info.spki_sha256 for info in registry.list_keys(file_keys)])
    assert device.state.check() == ()

    before = device.certificate
    # The limit also meets what TLS is given by way of a file in memory.
    assert not runner.run("renew", spec | {"file_size": str(limit)})["error"].startswith("Traceback")
    assert device.certificate == before
    runner.finish("renew", spec)
    assert device.certificate != before
    assert len(registry.list_keys(file_keys)) == 1
    assert device.state.check() == ()


@pytest.mark.slow
def test_a_read_only_state_directory_makes_no_key_and_loses_nothing(runner, new_runner, spec, file_keys) -> None:
    state = Path(spec["state"])
    state.mkdir(mode=0o700)
    prefix = (*UNSHARE, "sh", "-ec", READ_ONLY, str(state))
    error = new_runner(*prefix).run("enroll", spec)["error"]
    assert error.startswith("StateNotWritableError")
    assert "Read-only file system" in error
    assert registry.list_keys(file_keys) == ()

    runner.finish("enroll", spec)
    before = Device(state).certificate
    files = sorted(path.name for path in state.rglob("*"))
    assert new_runner(*prefix).run("renew", spec)["error"].startswith("StateNotWritableError")
    assert Device(state).certificate == before
    assert sorted(path.name for path in state.rglob("*")) == files
    assert len(registry.list_keys(file_keys)) == 1


@pytest.mark.slow
def test_a_device_without_hardware_reads_its_state_with_openssl_alone(runner, spec, file_keys) -> None:
    """What other software needs is in files under stable names, in the order it expects."""
    runner.finish("enroll", spec)
    state = Path(spec["state"])
    command = ["openssl", "verify", "-CAfile", state / "anchors.pem", "-untrusted", state / "current.pem", state / "current.pem"]  # fmt: skip
    assert subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
