"""Power cuts around Full CMC by file: killed at every change of a file, the same command goes on."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.carrying import anchors, carry
from tests.cli.conftest import Lab, leaf

pytestmark = pytest.mark.slow

# The interpreter's profiling hook counts what changes files, and kills.
HOOK = """
import os, signal, sys
CHANGES = {"replace", "rename", "link", "unlink", "remove", "ftruncate"}
state = {"left": int(os.environ.get("KILL_AT", "0"))}

def hook(frame, event, arg):
    if event == "c_call" and getattr(arg, "__module__", None) == "posix" and arg.__name__ in CHANGES:
        state["left"] -= 1
        if state["left"] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

if state["left"]:
    sys.setprofile(hook)
"""


def moments(lab: Lab, words: tuple[object, ...]) -> Iterator[int]:
    """Run a command, killed at its first change, its second, and so on, until it ends by itself."""
    for moment in range(1, 100):
        done = lab.cli(*words, before=HOOK, env={"KILL_AT": str(moment)})
        yield moment
        if done.code != -signal.SIGKILL:
            assert done.code == 0, done.err
            return


def test_a_transaction_survives_every_moment(lab: Lab, tmp_path: Path) -> None:
    """The request that is there is the one whose answer can be read; the certificate is there before that is forgotten."""
    lab.server.policy.fullcmc = True
    lab.server.est.full_cmc.store.add_secret("router-7", b"sixteen or more characters")
    (tmp_path / "secret").write_text("sixteen or more characters")
    proof = ("--shared-secret-file", "secret", "--identification", "router-7")
    words = ("est", "fullcmc", "--url", lab.server.url, "--key", lab.key(), "--subject", "CN=router-7", *proof)
    kept, request, out = tmp_path / "kept", tmp_path / "request", tmp_path / "device.pem"
    write = (*words, "--pending", kept, "--offline-out", request)
    written = 0
    for moment in moments(lab, write):
        if request.exists():
            assert json.loads(request.read_text())["body"] == json.loads(kept.read_text())["request"], moment
        lab.cli.ok(*write)
        assert json.loads(request.read_text())["body"] == json.loads(kept.read_text())["request"], moment
        request.unlink()
        kept.unlink()
        written = moment
    assert written > 2
    lab.cli.ok(*write)
    carry(lab, request, tmp_path / "answer", "-i")
    read = (*words, "--pending", kept, "--offline-in", "answer", "--anchors", anchors(lab), "--out", out)
    state = kept.read_bytes()
    for moment in moments(lab, read):
        if kept.exists():
            lab.cli.ok(*read)
        assert leaf(out).subject.rfc4514_string() == "CN=router-7", moment
        assert not kept.exists()
        out.unlink()
        kept.write_bytes(state)
        written = moment
    assert written > 2
