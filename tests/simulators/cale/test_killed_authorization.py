"""An authorization server that is killed, at any moment: what it has answered is so when it is back (CALE-46, CALE-51)."""

from __future__ import annotations

import os
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from device_sdk_simulators.cale import headers
from device_sdk_simulators.cale.hops import HopError
from device_sdk_simulators.cale.pki import KeyFiles, make_pki
from device_sdk_simulators.cale.processes import RoleProcess
from device_sdk_simulators.cale.remote import HopSettings, RemoteHop
from device_sdk_simulators.http.messages import Request

from tests.simulators.cale.support import KEYS, STRANGER, csr_pem, opened

pytestmark = pytest.mark.slow

SUITE = ("Cipher", "ECDHE-RSA-AES256-SHA")
WORKERS = 3


class Edge:
    """An edge device with clients of its own, who remember what they were told."""

    def __init__(self, state: Path, directory: Path) -> None:
        self._state, self._directory = state, directory
        self._csr = csr_pem(KEYS["p256"])
        self._lock = threading.Lock()
        self.registered: set[str] = set()
        self.revoked: set[str] = set()
        self.doubtful: set[str] = set()
        self.answers = threading.Semaphore(0)

    def hop(self, url: str) -> RemoteHop:
        files = KeyFiles.below(self._state / "edge" / "hop")
        return RemoteHop(HopSettings(url, "authz", files.certificate, files.key, files.anchors, 30))

    def work(self, url: str, worker: int) -> None:
        """Register, and revoke every second registration, until the server is gone."""
        hop, directory = self.hop(url), self._directory / f"worker{worker}"
        directory.mkdir(exist_ok=True)
        identity = headers.identity_header(f"client-{worker}")
        try:
            while True:
                answer = hop(Request("POST", "/registration", [identity, SUITE], self._csr))
                assert answer.status == 200
                guid = (opened(KEYS["p256"], answer.body, directory) or b"").decode().strip()
                with self._lock:
                    self.registered.add(guid)
                    revoke = len(self.registered) % 2 == 0
                    self.doubtful |= {guid} if revoke else set()
                self.answers.release()
                if revoke:
                    assert hop(Request("POST", "/revocation", [identity, (headers.GUID, guid)])).status == 204
                    with self._lock:
                        self.doubtful.remove(guid)
                        self.revoked.add(guid)
        except HopError:
            # killed; what was not answered may be either way
            pass
        finally:
            self.answers.release(1000)
            hop.close()


def test_what_was_answered_before_a_kill_is_so_after_it_cale_46_cale_51(tmp_path):
    state = tmp_path / "site"
    make_pki(state, datetime.now(UTC))
    edge = Edge(state, tmp_path)
    for before in (1, 4, 7, 12):
        process = RoleProcess("authz", ["--state", str(state / "authz"), "--peer", "edge"]).start()
        url, pid = process.url, int(str(process.facts["pid"]))
        threads = [threading.Thread(target=edge.work, args=(url, worker)) for worker in range(WORKERS)]
        for thread in threads:
            thread.start()
        for _ in range(before):
            edge.answers.acquire()
        # the others are at whatever they are at
        os.kill(pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
        process.stop()
        edge.answers = threading.Semaphore(0)
        require_known(edge, state)
    assert len(edge.registered) >= 24
    assert edge.revoked


def require_known(edge: Edge, state: Path) -> None:
    """A new process knows all of it."""
    process = RoleProcess("authz", ["--state", str(state / "authz"), "--peer", "edge"]).start()
    hop = edge.hop(process.url)
    try:
        for guid in edge.registered - edge.doubtful:
            status = hop(Request("GET", "/validate", [(headers.GUID, guid)])).status
            assert status == (403 if guid in edge.revoked else 200)
        assert hop(Request("GET", "/validate", [(headers.GUID, STRANGER)])).status == 403
    finally:
        hop.close()
        assert process.stop() == 0
