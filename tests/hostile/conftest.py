"""An enrolled device, its server, and the run of one case."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from device_sdk.client.device import Device, EnrolmentPlan, RenewalPlan
from device_sdk.errors import DeviceSdkError
from device_sdk.model.credentials import Credentials
from device_sdk.model.secret import Secret
from device_sdk.transports.base import Timeouts
from tests.est.answers import SPEC
from tests.est.pki import Ca
from tests.hostile.host import Host

PASSWORD = "canary-7f3a-password"  # looked for in what servers receive
QUICK = Timeouts(connect_s=1.0, read_s=0.6, total_s=1.5)
"""For a server whose silence is the point."""
PATIENT = Timeouts(connect_s=20.0, read_s=20.0, total_s=40.0)
_WITHIN_S = 60.0


@dataclass
class Lab:
    """A device that was enrolled by an honest server, which may turn hostile at its next renewal."""

    ca: Ca
    host: Host
    device: Device
    directory: Path
    timeouts: Timeouts = PATIENT

    def plan(self) -> RenewalPlan:
        return RenewalPlan(credentials=Credentials("canary", Secret(PASSWORD)), timeouts=self.timeouts)

    def snapshot(self) -> dict[str, str]:
        """Everything the device has on disk but what says that a renewal is under way, and that renewal's own key."""
        under_way = self.device.state.journal()
        new_key = under_way.key_uri.removeprefix("file:") if under_way and under_way.replaces else None
        files = sorted(path for path in self.directory.rglob("*") if path.is_file())
        left_out = {"journal.json", "lock"}
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if path.name not in left_out and "server" not in path.parts and str(path) != new_key
        }

    def renewal_fails(self) -> DeviceSdkError:
        """One renewal: how it failed, in time, with the device as it was and able to go on."""
        before = self.snapshot()
        begun = time.monotonic()
        with pytest.raises(DeviceSdkError) as failed:
            self.device.renew(self.plan())
        assert time.monotonic() - begun < _WITHIN_S
        assert self.snapshot() == before
        assert self.device.state.check() == ()
        self.device.abandon()
        assert self.snapshot() == before
        return failed.value

    def assert_no_credential_left(self) -> None:
        """The password went nowhere: not in the clear, not as Basic."""
        basic = base64.b64encode(f"canary:{PASSWORD}".encode()).decode()
        received = bytes(self.host.received)
        assert PASSWORD.encode() not in received
        assert basic.encode() not in received
        assert b"\r\nauthorization:" not in received.lower()


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A device enrolled once for all cases of a module; at the end the honest server still renews it."""
    directory = tmp_path_factory.mktemp("hostile")
    (directory / "server").mkdir()
    (directory / "keys").mkdir(mode=0o700)
    ca = Ca.root("EST root")
    host = Host(ca, directory / "server", client_ca=ca.certificate)
    device = Device(directory / "state")
    try:
        device.enroll(
            EnrolmentPlan(
                url=host.url, key_uri=f"file:{directory}/keys/device.pem", spec=SPEC, anchors=(ca.certificate,)
            )
        )
        lab = Lab(ca, host, device, directory)
        yield lab
        host.behave()
        lab.timeouts = PATIENT
        assert device.renew(lab.plan()).changed
    finally:
        host.close()


@pytest.fixture
def lab(enrolled: Lab) -> Iterator[Lab]:
    enrolled.host.behave()
    enrolled.timeouts = PATIENT
    yield enrolled
    enrolled.host.behave()
