"""Runs one step of the reference server after the other, each in a child of its own that dies by SIGKILL at the N-th event.

Reads JSON lines {"step", "state", "kill_at", "csr"} on stdin and answers each with {"killed", "events", "status", "body"}. An
event is the beginning of a call that changes or synchronises a file, or of a statement of the database: what one has left is
what is there when the next begins. The server knows nothing of this: the interpreter's profiling hook counts and kills.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from device_sdk_simulators.ca.directory import single_authority
from device_sdk_simulators.ca.rollover import Rollover
from device_sdk_simulators.cale.authorization import AuthorizationServer
from device_sdk_simulators.cale.certificates import AUTHORITY_NAME
from device_sdk_simulators.cale.records import DatabaseRecords
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.queue import ApprovalQueue
from device_sdk_simulators.http.messages import Request
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.server.support import MADE_UP, post

POSIX = {"write", "fsync", "rename", "replace", "unlink", "remove", "rmdir", "mkdir", "open", "chmod", "ftruncate"}
SQLITE = {"execute", "executemany", "executescript"}


class Killer:
    """Counts events; ends the process at one of them, without a word."""

    def __init__(self, kill_at: int) -> None:
        self.events = 0
        self._kill_at = kill_at

    def __call__(self, _frame: FrameType, event: str, arg: Any) -> None:
        if event != "c_call":
            return
        module = getattr(arg, "__module__", None) or type(arg.__self__).__module__
        if arg.__name__ in (SQLITE if module == "sqlite3" else POSIX if module == "posix" else ()):
            self.events += 1
            if self.events == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def prepare(step: str, state: Path, csr: bytes) -> Callable[[], dict[str, Any]]:
    """Everything before the step, and the step."""
    if step == "start":
        return lambda: {"status": 0, "ca": ReferenceServer(state).ca_sha256}
    if step in ("issue", "collect"):
        server = ReferenceServer(state, policy=Policy(require_approval=step == "collect"))

        def ask() -> dict[str, Any]:
            response = post(server, csr, tls=MADE_UP)
            return {"status": response.status, "body": response.body.decode()}

        return ask
    database = Database(state / "server.sqlite")
    if step.startswith("cale-"):
        return authorization(step, state, database, csr)
    if step == "approve":
        return lambda: {"status": ApprovalQueue(database).decide(None, approve=True)}
    rollover = Rollover(state / "ca", "", database, lambda: datetime.now(UTC))

    def roll() -> dict[str, Any]:
        rollover.publish("ec-p256") if step == "publish" else getattr(rollover, step)()
        return {"status": 0}

    return roll


def authorization(step: str, state: Path, database: Database, body: bytes) -> Callable[[], dict[str, Any]]:
    """A registration of a CSR, or a revocation of a GUID, at an authorization server of CALE."""
    authority = single_authority(state / "cale", AUTHORITY_NAME, "ec-p256", datetime.now(UTC))
    server = AuthorizationServer(authority, DatabaseRecords(database), Policy(), lambda: datetime.now(UTC))
    fields = [("CALE-Identity", "ann"), ("Cipher", "ECDHE-RSA-AES256-SHA")]
    request = Request("POST", "/registration", fields, body)
    if step == "cale-revoke":
        request = Request("POST", "/revocation", [fields[0], ("CALE-GUID", body.decode())])

    def ask() -> dict[str, Any]:
        response = server.handle(request, "edge")
        return {"status": response.status, "body": response.body.decode()}

    return ask


def child(command: dict[str, Any], report: int) -> None:
    run = prepare(command["step"], Path(command["state"]), bytes.fromhex(command["csr"]))
    killer = Killer(command["kill_at"])
    sys.setprofile(killer)
    try:
        answer = run()
    finally:
        sys.setprofile(None)
    os.write(report, json.dumps({"events": killer.events} | answer).encode())


def main() -> None:
    for line in sys.stdin:
        ours, theirs = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(ours)
            try:
                child(json.loads(line), theirs)
            finally:
                os._exit(0)
        os.close(theirs)
        with os.fdopen(ours, "rb") as report:
            answer = json.loads(report.read() or b"{}")
        _, status = os.waitpid(process, 0)
        sys.stdout.write(json.dumps({"killed": os.WTERMSIG(status) == signal.SIGKILL} | answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
