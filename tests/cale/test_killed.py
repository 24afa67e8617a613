"""Killed anywhere, the same call finishes: the old registration works until the new one is proved, and no key is orphaned.

Each registration runs in a process that dies by SIGKILL at its N-th event (crash_launcher.py), for every N.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.cale import CaleApplication
from device_sdk.keystores import registry
from device_sdk.model.trust import ServerTrust
from device_sdk.state import StateDirectory
from tests.cale.parts import ANSWER
from tests.device.conftest import Runner, running


@pytest.fixture(scope="session")
def runner() -> Iterator[Runner]:
    with running(launcher=Path(__file__).with_name("crash_launcher.py")) as started:
        yield started


@pytest.fixture
def spec(cale_server: ReferenceServer, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "keys").mkdir(mode=0o700)
    return {
        "state": str(tmp_path / "state"),
        "url": cale_server.cale_url,
        "anchors": str(cale_server.ca_file),
        "user": str(cale_server.user),
        "password": cale_server.password,
        "key_uri": f"file:{tmp_path}/keys/cale.pem",
        "key_type": "ec-p256",
    }


class Device:
    """What is left behind, seen from outside."""

    def __init__(self, spec: dict[str, str], trust: ServerTrust, keys: str) -> None:
        self.spec, self.trust, self.keys = spec, trust, keys
        self.state = StateDirectory(spec["state"])
        self.application = CaleApplication(self.state)

    def read(self) -> bytes:
        with self.application.client(self.trust) as client:
            return client.get("/resource").content

    def require_known_keys(self) -> None:
        """No key that nobody knows of: the registration names it, or the journal does."""
        registration, journal = self.state.cale_registration("default"), self.state.cale_journal("default")
        if registry.list_keys(self.keys):
            assert registration is not None or journal is not None

    def require_end(self, keys: int = 1) -> None:
        assert self.state.cale_journals() == {}
        assert self.state.check() == ()
        found = registry.list_keys(self.keys)
        assert len(found) == keys, [info.uri for info in found]

    def start_over(self) -> None:
        self.application.forget()
        shutil.rmtree(self.state.path)


@pytest.fixture
def device(spec: dict[str, str], trust: ServerTrust, tmp_path: Path) -> Device:
    return Device(spec, trust, f"file:{tmp_path}/keys")


def registrations(runner: Runner, device: Device, *, step: int = 1) -> int:
    events = runner.counted("register", device.spec)
    device.start_over()
    for number in range(1, events + 1, step):
        runner.run("register", device.spec, number)
        device.require_known_keys()
        journal, done = device.state.cale_journal("default"), device.state.cale_registration("default")
        if journal is not None or done is None:
            runner.finish("register", device.spec)
        assert device.read() == ANSWER
        device.require_end()
        device.start_over()
    return events


def replacements(runner: Runner, device: Device, *, step: int = 1) -> int:
    runner.finish("register", device.spec)
    events = runner.counted("again", device.spec)
    for number in range(1, events + 1, step):
        before = device.application.registration.guid
        runner.run("again", device.spec, number)
        assert device.read() == ANSWER, "the registration in use, old or new, works at every moment"
        device.require_known_keys()
        now = device.application.registration.guid
        if device.state.cale_journal("default") is not None or now == before:
            runner.finish("again", device.spec)
        assert device.application.registration.guid != before
        assert now in (before, device.application.registration.guid), "what was registered is not registered once more"
        assert device.read() == ANSWER
        device.require_end()
    return events


def forgettings(runner: Runner, device: Device) -> None:
    runner.finish("register", device.spec)
    events = runner.counted("forget", device.spec)
    for number in range(1, events + 1):
        runner.finish("register", device.spec)
        runner.run("forget", device.spec, number)
        runner.finish("forget", device.spec)
        assert device.state.cale_registrations() == {}
        device.require_end(keys=0)


@pytest.mark.slow
def test_registration_killed_at_every_event(runner: Runner, device: Device) -> None:
    assert registrations(runner, device) > 40


@pytest.mark.slow
def test_replacement_killed_at_every_event(runner: Runner, device: Device) -> None:
    assert replacements(runner, device) > 50


@pytest.mark.slow
def test_replacement_of_a_key_by_its_own_name_killed_at_every_event(runner: Runner, device: Device) -> None:
    device.spec["again_with"] = device.spec["key_uri"]
    assert replacements(runner, device, step=2) > 50


@pytest.mark.slow
def test_forgetting_killed_at_every_event(runner: Runner, device: Device) -> None:
    forgettings(runner, device)


# What hardware adds to the events of a file key are a few in a row of many that are the same.
HARDWARE = int(os.environ.get("TEST_EVENT_STEP", "3"))


@pytest.mark.slow
def test_killed_at_every_third_event_with_a_token(softhsm_token: Any, runner: Runner, device: Device) -> None:
    device.spec["key_uri"], device.keys = softhsm_token.uri_of("cale"), softhsm_token.uri
    registrations(runner, device, step=HARDWARE)
    replacements(runner, device, step=HARDWARE)


@pytest.mark.slow
def test_killed_at_every_third_event_with_a_tpm(swtpm: Any, runner: Runner, device: Device, tmp_path: Path) -> None:
    device.spec["key_uri"] = f"tpm2:file={tmp_path}/keys/cale.pem?tcti={swtpm.tcti}"
    device.keys = f"tpm2:dir={tmp_path}/keys?tcti={swtpm.tcti}"
    registrations(runner, device, step=HARDWARE)
    replacements(runner, device, step=HARDWARE)
