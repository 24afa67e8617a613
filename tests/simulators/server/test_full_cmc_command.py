"""`device-sdk-sim server --fullcmc`: its options as a program takes them, and what a kill leaves behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography import x509
from device_sdk_simulators.process import ServerProcess

from device_sdk.client.est import EstClient
from device_sdk.client.est.full_cmc import PendingRequest, SharedSecret
from device_sdk.errors import CmcPendingError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from tests.est.pki import name, new_key
from tests.simulators.command import sim

pytestmark = pytest.mark.slow

SECRET = "sixteen or more characters"


def _words(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "secret").write_text(SECRET + "\n")
    return "--fullcmc", "--fullcmc-confirm", "--fullcmc-publish-anchors", "--fullcmc-secret", f"dev-1={tmp_path}/secret"


def _client(server: ServerProcess) -> EstClient:
    root = x509.load_pem_x509_certificate(Path(server.ca_file).read_bytes())
    return EstClient(server.url, ServerTrust(explicit=(root,)))


def test_a_pending_request_survives_kill_9(tmp_path: Path) -> None:
    """The token, the transaction and the approval are on disk before the answer is sent."""
    key, shared = new_key(), SharedSecret(Secret(SECRET), "dev-1")
    words = (*_words(tmp_path), "--require-approval")
    with ServerProcess(tmp_path / "state", *words) as server:
        with _client(server) as client, pytest.raises(CmcPendingError) as caught:
            client.fullcmc.enroll(key, CsrSpec(name("dev-1")), shared_secret=shared)
        server.kill()
    assert sim("approve", "--state", tmp_path / "state").stdout == "1 approved\n"
    with ServerProcess(tmp_path / "state", *words) as server, _client(server) as client:
        result = client.fullcmc.query(PendingRequest.from_json(caught.value.pending), key)
    assert [one.status_name for one in result.statuses] == ["confirmRequired", "success"]
    assert result.published is not None
    assert SECRET not in "".join(map(str, server.log()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fullcmc-confirm",), "need --fullcmc"),
        (("--fullcmc-secret", f"x={os.devnull}"), "need --fullcmc"),
        (("--fullcmc", "--fullcmc-secret", "x"), "not NAME=FILE"),
        (("--fullcmc", "--fullcmc-secret", "x=/nonexistent"), "No such file"),
        (("--fullcmc", "--fullcmc-secret", f"x={os.devnull}"), "no password"),
    ],
)
def test_mistakes(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = sim("server", "--state", tmp_path / "state", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert not (tmp_path / "state").exists()
