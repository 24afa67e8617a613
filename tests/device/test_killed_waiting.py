"""Killed anywhere in flows that take several runs: pending, a clock that is behind, SRP, the system's store switched off.

As test_killed.py: each run dies at its N-th event, and the same command goes on with the same key and certificate.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.srp.service import SrpSettings

from device_sdk.client.device import Device
from device_sdk.state import Phase
from tests.device.test_killed import forget, issued_before, public_bytes, require_end, require_pair, spki_at

pytestmark = pytest.mark.slow

HOURS = 3
# Pending enrolments are killed at every event, what shares most of its events with others at some.
SOME = int(os.environ.get("TEST_EVENT_STEP", "2"))


@pytest.fixture
def est_server(tmp_path: Path) -> Iterator[ReferenceServer]:
    with ReferenceServer(tmp_path / "server", srp=SrpSettings(user="router-7", password="open sesame")) as server:
        yield server


class Flow:
    """A flow whose first run ends in an error that leaves something for the second one.

    Args:
        runner: see conftest.
        server: the server.
        spec: where and what.
        keys: URI of the place of the keys.
        prepare: makes the server say no for now.
        release: makes it say yes, and gives what the later run's spec has beyond the first one's.
        issued: whether the first run has got a certificate.
    """

    def __init__(
        self,
        runner,
        server: ReferenceServer,
        spec: dict[str, str],
        keys: str,
        prepare: Callable[[], None],
        release: Callable[[], dict[str, str]],
        *,
        issued: bool = False,
    ) -> None:
        self.runner, self.server, self.spec, self.keys = runner, server, spec, keys
        self.prepare, self.release, self.issued = prepare, release, issued
        self.device = Device(spec["state"])

    def first(self, operation: str, error: str) -> int:
        """The number of events of the run that is told to wait."""
        self.prepare()
        return int(self.runner.counted(operation, self.spec, error))

    def later(self, operation: str) -> int:
        return int(self.runner.counted(operation, self.spec | self.release()))

    def killed(self, operation: str, error: str, number: int, *, in_first: bool) -> None:
        """One pass: the first or the second run dies at that event; then the rest, to the end."""
        self.prepare()
        self.runner.run(operation, self.spec, number if in_first else None)
        made, certificate = self.seen()
        if in_first:
            self.runner.run(operation, self.spec)
            self.require_kept(made, certificate)
            made, certificate = self.seen()
        assert (certificate is not None) == self.issued
        more = self.release()
        if not in_first:
            self.runner.run(operation, self.spec | more, number)
            self.require_kept(made, certificate)
        if operation == "enroll" or self.device.state.journal() is not None:
            self.runner.finish(operation, self.spec | more)
        assert made in (None, public_bytes(self.device.certificate)), "another key was made"
        assert certificate in (None, self.device.certificate), "the certificate was lost"
        require_end(self.device, self.keys)

    def seen(self):
        """The key that was made and the certificate that was received, so far."""
        journal = self.device.state.journal()
        return (spki_at(journal.key_uri) if journal else None), issued_before(self.device.state)

    def require_kept(self, made, certificate) -> None:
        journal = self.device.state.journal()
        if journal is None:
            made_now, certificate_now = public_bytes(self.device.certificate), self.device.certificate
        else:
            made_now, certificate_now = spki_at(journal.key_uri), issued_before(self.device.state)
        assert made in (None, made_now), "another key was made"
        assert certificate in (None, certificate_now), "the certificate was lost"


@pytest.fixture
def pending(runner, est_server: ReferenceServer, spec: dict[str, str], file_keys: str) -> Flow:
    def prepare() -> None:
        est_server.policy.require_approval = True

    def release() -> dict[str, str]:
        for row in est_server._database.rows("SELECT id FROM requests WHERE state = 'pending'"):
            est_server.est.queue.decide(row["id"], approve=True)
        est_server.policy.require_approval = False
        return {"offset_s": "5"}

    return Flow(runner, est_server, spec, file_keys, prepare, release)


@pytest.fixture
def behind(runner, est_server: ReferenceServer, spec: dict[str, str], file_keys: str) -> Flow:
    """The server's clock is hours ahead of the device's, until the device's is set."""
    ahead = timedelta(0)

    def prepare() -> None:
        nonlocal ahead
        ahead += timedelta(hours=HOURS)
        est_server.clock = lambda: datetime.now(UTC) + ahead
        spec["offset_s"] = str((ahead - timedelta(hours=HOURS)).total_seconds())

    def release() -> dict[str, str]:
        return {"offset_s": str(ahead.total_seconds())}

    return Flow(runner, est_server, spec, file_keys, prepare, release, issued=True)


def enrolments(flow: Flow, error: str, step: int) -> None:
    events = flow.first("enroll", error)
    later = flow.later("enroll")
    forget(flow.spec)
    for number in range(1, events + 1, step):
        flow.killed("enroll", error, number, in_first=True)
        forget(flow.spec)
    for number in range(1, later + 1, step):
        flow.killed("enroll", error, number, in_first=False)
        forget(flow.spec)


def renewals(flow: Flow, error: str, step: int) -> None:
    flow.runner.finish("enroll", flow.spec)
    events = flow.first("renew", error)
    later = flow.later("renew")
    for number in range(1, events + 1, step):
        flow.killed("renew", error, number, in_first=True)
        require_pair(flow.device)
    for number in range(1, later + 1, step):
        flow.killed("renew", error, number, in_first=False)


def srp_enrolments(runner, server: ReferenceServer, spec: dict[str, str], keys: str, step: int) -> None:
    spec |= {"srp_user": "router-7", "srp_password": "open sesame", "url": server.srp_url, "renewal_url": server.url}
    events = runner.counted("enroll", spec)
    device = Device(spec["state"])
    for number in range(1, events + 1, step):
        forget(spec)
        runner.run("enroll", spec, number)
        made, certificate = spki_at(spec["key_uri"]), issued_before(device.state)
        runner.finish("enroll", spec)
        require_end(device, keys)
        assert made in (None, public_bytes(device.certificate))
        assert certificate in (None, device.certificate)
        assert device.state.load().endpoint.url == server.url  # type: ignore[union-attr]
    runner.finish("renew", spec)


def leaving(runner, spec: dict[str, str], keys: str, step: int) -> None:
    """Whenever it dies, what is remembered is either before or after; the same command ends with after."""
    runner.finish("enroll", spec)
    device = Device(spec["state"])
    events = runner.counted("renew", spec | {"implicit": "yes"})
    for number in range(1, events + 1, step):
        runner.finish("renew", spec | {"implicit": "yes"})
        runner.run("renew", spec | {"implicit": "no"}, number)
        endpoint = device.state.load().endpoint
        assert endpoint is not None
        assert endpoint.announce is not endpoint.implicit
        require_pair(device)
        journal = device.state.journal()
        if journal is not None and journal.phase is Phase.ISSUED:
            runner.finish("renew", spec)  # the journal knows
        else:
            runner.finish("renew", spec | {"implicit": "no"})
        endpoint = device.state.load().endpoint
        assert endpoint is not None
        assert (endpoint.implicit, endpoint.announce) == (False, True)
        require_end(device, keys)


def test_pending_enrolments(pending: Flow) -> None:
    enrolments(pending, "EnrolmentPendingError", 1)


def test_pending_renewals(pending: Flow) -> None:
    renewals(pending, "EnrolmentPendingError", SOME)


def test_enrolments_with_a_clock_that_is_behind(behind: Flow) -> None:
    enrolments(behind, "ClockError", 3)


def test_renewals_with_a_clock_that_is_behind(behind: Flow) -> None:
    renewals(behind, "ClockError", 3)


def test_enrolments_by_srp(runner, est_server: ReferenceServer, spec, file_keys) -> None:
    srp_enrolments(runner, est_server, spec, file_keys, SOME)


def test_renewals_that_leave_the_system_store(runner, spec, file_keys) -> None:
    leaving(runner, spec, file_keys, SOME)
