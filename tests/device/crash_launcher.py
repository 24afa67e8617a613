"""Runs one enrolment or renewal after the other, each in a child of its own that dies by SIGKILL at the N-th event.

Reads JSON lines {"operation", "kill_at", "spec"} on stdin (in `spec`: where and what; `file_size` limits files, in bytes) and answers each with {"status", "events", "error"}. An event is
the beginning or the end of a call that changes or synchronises a file, speaks to the server, or enters the keystore's
code or the TPM's library. The product knows nothing of this: the interpreter's profiling hook counts and kills.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

import device_sdk.client.device.enrol
import device_sdk.client.device.renew
from device_sdk.client.device import Device, EnrolmentPlan
from device_sdk.errors import DeviceSdkError
from device_sdk.model.credentials import Credentials
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret

POSIX = {"write", "pwrite", "fsync", "rename", "replace", "unlink", "remove", "symlink", "link", "mkdir", "fchmod", "ftruncate"}  # fmt: skip
NETWORK = {"connect", "do_handshake", "read", "recv", "recv_into", "send", "sendall"}
KEYSTORES = str(Path(device_sdk.__file__).parent / "keystores") + os.sep


class Killer:
    """Counts events; ends the process at one of them, without a word."""

    def __init__(self, kill_at: int) -> None:
        self.events = 0
        self._kill_at = kill_at

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if event in ("c_call", "c_return"):
            name, module = (
                arg.__name__,
                str(getattr(arg, "__module__", "") or type(getattr(arg, "__self__", "")).__module__),
            )
            if not (
                (module == "posix" and name in POSIX)
                or (module in ("_ssl", "_socket", "socket", "ssl") and name in NETWORK)
                or name.startswith("Esys_")
            ):
                return
        elif event != "call" or not frame.f_code.co_filename.startswith(KEYSTORES):
            return
        self.events += 1
        if self.events == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def plan_of(spec: dict[str, str]) -> EnrolmentPlan:
    return EnrolmentPlan(
        url=spec["url"],
        key_uri=spec["key_uri"],
        spec=CsrSpec(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, spec["name"])])),
        anchors=tuple(x509.load_pem_x509_certificates(Path(spec["anchors"]).read_bytes())),
        credentials=Credentials(spec["user"], Secret(spec["password"])),
        wait_s=float(spec.get("wait_s", 0)),
    )


def child(command: dict[str, Any], report: int) -> None:
    spec = command["spec"]
    device = Device(spec["state"], lock_wait_s=float(spec.get("lock_wait_s", 0)))
    plan = plan_of(spec)
    if "file_size" in spec:
        limit = int(spec["file_size"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    killer = Killer(command["kill_at"])
    error = None
    threading.setprofile(killer)
    sys.setprofile(killer)
    try:
        if command["operation"] == "enroll":
            device.enroll(plan)
        else:
            device.renew()
    except DeviceSdkError as caught:
        error = f"{type(caught).__name__}: {caught}"
    except BaseException:  # noqa: BLE001  # whatever it is, the test wants to see it
        error = traceback.format_exc()
    finally:
        sys.setprofile(None)
    os.write(report, json.dumps({"events": killer.events, "error": error}).encode())


def main() -> None:
    for line in sys.stdin:
        command = json.loads(line)
        ours, theirs = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(ours)
            try:
                child(command, theirs)
            finally:
                os._exit(0)
        os.close(theirs)
        with os.fdopen(ours, "rb") as report:
            answer = json.loads(report.read() or b"{}")
        _, status = os.waitpid(process, 0)
        sys.stdout.write(json.dumps({"status": status} | answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
