"""A sync that is killed anywhere: nothing is half, and the next one goes on with what was left (RFC 8295; C-06, E-06).

Runs die by SIGKILL at the N-th event (crash_launcher.py), as in test_killed.py.
"""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.device import Device
from device_sdk.client.device.sync import StepState, SyncReport
from device_sdk.state import SyncJournal
from tests.device.test_killed import require_end
from tests.simulators.packages.conftest import publish
from tests.simulators.server.support import certificates_in, make_csr, name, post

pytestmark = pytest.mark.slow

DONE, EARLIER = StepState.DONE, StepState.EARLIER


class Scene:
    """A device as it was before its sync, to which one can go back."""

    def __init__(self, server: ReferenceServer, spec: dict[str, str], keys: Path, runner, directory: Path) -> None:
        self.server, self.spec, self.keys, self.runner = server, spec, keys, runner
        self.device = Device(spec["state"])
        self.saved = directory / "saved"
        server.policy.backdate, server.policy.lifetime = timedelta(days=30), timedelta(days=60)
        runner.finish("enroll", spec)
        server.policy.backdate = timedelta(0)
        self.good, self.bad = (self._peer(f"peer-{number}") for number in (1, 2))
        pem = directory / "peers.pem"
        pem.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in (self.good, self.bad)))
        publish(server, "peers", pem, f"{self.device.certificate.serial_number:x}")
        server.policy.pal_renewal = 1.0
        runner.finish("sync", spec)
        server.est.register.revoke(f"{self.bad.serial_number:x}")

    def save(self) -> None:
        """What `restore` goes back to."""
        shutil.copytree(self.device.state.path, self.saved / "state", symlinks=True)
        shutil.copytree(self.keys, self.saved / "keys")

    def restore(self) -> None:
        for here, there in ((self.device.state.path, "state"), (self.keys, "keys")):
            shutil.rmtree(here)
            shutil.copytree(self.saved / there, here, symlinks=True)

    def fetched(self) -> Counter[str]:
        """How often each operation was asked for."""
        return Counter(str(entry["operation"]) for entry in self.server.log())

    def killed_at(self, number: int) -> SyncJournal | None:
        """Die at an event; what was noted by then. Whatever is there is whole."""
        self.runner.run("sync", self.spec, number)
        packages = self.device.state.packages
        assert {one.certificate for one in packages.peers()} in ({self.good, self.bad}, {self.good})
        assert len(packages.lists()) == 2
        if any(one.get_revoked_certificate_by_serial_number(self.bad.serial_number) for one in packages.lists()):
            assert {one.certificate for one in packages.peers()} == {self.good}, "on a list that is kept, and kept"
        return packages.journal()

    def require_end(self) -> None:
        assert self.device.peers == (self.good,)
        assert any(
            one.get_revoked_certificate_by_serial_number(self.bad.serial_number) for one in self.device.revocation_lists
        )
        assert self.device.state.packages.journal() is None
        require_end(self.device, f"file:{self.keys}")

    def _peer(self, subject: str) -> x509.Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        (certificate,) = certificates_in(post(self.server, make_csr(key, name(subject))))
        return certificate


@pytest.fixture
def scene(est_server: ReferenceServer, spec: dict[str, str], file_keys: str, runner, tmp_path: Path) -> Scene:
    return Scene(est_server, spec, Path(file_keys.removeprefix("file:")), runner, tmp_path)


def states(report: SyncReport) -> dict[str, StepState]:
    return {one.entry.type: one.state for one in report.steps}


def every(scene: Scene, step: int, renewing: bool) -> set[int]:
    """Killed at every `step`-th event and finished by another run; how many steps were noted at the time, seen over all."""
    scene.save()
    events = scene.runner.counted("sync", scene.spec)
    scene.require_end()
    noted = set()
    for number in range(1, events + 1, step):
        scene.restore()
        first = scene.device.certificate
        journal = scene.killed_at(number)
        before, renewed = scene.fetched(), scene.device.certificate != first
        report = scene.device.sync()
        assert not report.failed, report
        done = journal.done if journal else ()
        noted.add(len(done))
        # what was about the certificate before is not listed any more: its renewal, and the result of an earlier one
        gone = 2 if renewing else 0
        assert len(done) - gone <= sum(state is EARLIER for state in states(report).values()) <= len(done)
        asked = scene.fetched() - before
        for operation, kind in (("crls", "0005"), ("eecerts", "0003")):
            # the log may have a request of the killed run late, but not one whose answer arrived
            assert bool(asked[operation]) is (states(report)[kind] is not EARLIER)
        scene.require_end()
        assert (scene.device.certificate != first) is renewing
        assert not (renewed and asked["simplereenroll"]), "renewed twice"
    return noted


def test_c_06_e_06_killed_at_every_event(scene: Scene) -> None:
    assert every(scene, 1, renewing=False) == {0, 1, 2, 3}


def test_p_15_killed_here_and_there_with_a_renewal(scene: Scene) -> None:
    scene.server.policy.pal_renewal = 0.25
    assert {1, 2, 3} <= every(scene, 7, renewing=True)


@pytest.mark.parametrize("limit", [0, 600, 1200])
def test_a_disk_that_is_full_leaves_what_was_there(scene: Scene, limit: int) -> None:
    """No room for the journal, for the lists, or for the peers; the next run finds room and does it all."""
    before = (scene.device.revocation_lists, scene.device.peers)
    scene.runner.run("sync", scene.spec | {"file_size": str(limit)})
    assert scene.device.revocation_lists == before[0]
    assert scene.device.peers in (before[1], (scene.good,))
    assert scene.device.state.check() == ()
    assert not scene.device.sync().failed
    scene.require_end()


def test_a_journal_of_yesterday_or_of_another_list_is_dropped(scene: Scene, clock, tmp_path: Path) -> None:
    scene.save()
    events = scene.runner.counted("sync", scene.spec)
    scene.restore()
    number = next(n for n in range(events, 0, -1) if (scene.restore(), scene.killed_at(n))[1] is not None)
    left = tmp_path / "left"
    shutil.copytree(scene.device.state.path, left, symlinks=True)
    assert EARLIER in states(scene.device.sync()).values(), number

    def again(device: Device) -> SyncReport:
        shutil.rmtree(scene.device.state.path)
        shutil.copytree(left, scene.device.state.path, symlinks=True)
        return device.sync()

    clock.offset_s = 25 * 3600
    report = again(Device(scene.device.state.path, clock=clock))
    assert (report.resumed, set(states(report).values())) == (False, {DONE})
    pem = tmp_path / "more.pem"
    pem.write_bytes(scene.good.public_bytes(Encoding.PEM))
    publish(scene.server, "peers", pem, f"{scene.device.certificate.serial_number:x}")
    report = again(scene.device)
    assert (report.resumed, set(states(report).values())) == (False, {DONE})
