"""EST-157: the old pair goes only when the server asked for the new certificate and took it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device_sdk.client.device import Device, EnrolmentPlan, Outcome
from tests.est.answers import SPEC, issue
from tests.est.pki import Ca
from tests.est.scripted_server import Reply, Seen
from tests.hostile.host import Host


class Site:
    """A server that may stop asking for certificates, and an enrolled device."""

    def __init__(self, directory: Path, *, asks: bool) -> None:
        for name in ("asking", "silent", "keys"):
            (directory / name).mkdir(mode=0o700)
        self.ca = Ca.root("EST root")
        self.keys = directory / "keys"
        self.host = Host(self.ca, directory / "asking", client_ca=self.ca.certificate if asks else None)
        with_no_question = Host(self.ca, directory / "silent")
        with_no_question.close()
        self._silent = with_no_question._context
        self.device = Device(directory / "state")
        self.first = self.device.enroll(
            EnrolmentPlan(
                url=self.host.url, key_uri=f"file:{self.keys}/device.pem", spec=SPEC, anchors=(self.ca.certificate,)
            )
        )

    def stop_asking_after_the_next_certificate(self) -> None:
        honest = issue(self.ca)

        def last(seen: Seen) -> Reply:
            self.host._context = self._silent
            return honest(seen)

        self.host.answer(simplereenroll=last)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.keys.glob("*.pem"))

    def require_both_pairs(self, renewed: Outcome) -> None:
        assert renewed.certificate.public_key() != self.first.certificate.public_key()
        assert self.names() == ["device-2.pem", "device.pem"]
        assert any("did not ask for the new certificate" in note and "device.pem" in note for note in renewed.notes)
        (old,) = self.device.state.load().previous
        assert self.device.state.chain(old.certificate)[0] == self.first.certificate
        assert self.device.state.journal() is None
        assert self.device.state.check() == ()


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    made = Site(tmp_path, asks=request.param)
    yield made
    made.host.close()


@pytest.mark.parametrize("site", [True], indirect=True)
def test_a_server_that_stops_asking_proves_nothing(site: Site) -> None:
    """EST-157."""
    site.stop_asking_after_the_next_certificate()
    site.require_both_pairs(site.device.renew())


@pytest.mark.parametrize("site", [False], indirect=True)
def test_a_server_that_never_asks_is_renewed_at_all_the_same(site: Site) -> None:
    site.require_both_pairs(site.device.renew())
    assert site.device.renew().key_uri.endswith("device-3.pem")
    assert site.names() == ["device-2.pem", "device-3.pem", "device.pem"]


@pytest.mark.parametrize("site", [True], indirect=True)
def test_a_server_that_asks_lets_the_old_pair_go(site: Site) -> None:
    renewed = site.device.renew()
    assert site.names() == ["device-2.pem"]
    assert renewed.notes == ()
    assert site.device.state.load().previous == ()
