"""Runs one enrolment, renewal or sync after the other, each in a child of its own that dies by SIGKILL at the N-th event.

Reads JSON lines {"operation", "kill_at", "spec", "environment"} on stdin (in `spec`: where and what; `file_size` limits
files, in bytes; `kill_at` may be null) and answers each with {"status", "events", "error"}. An event is the beginning of a call that changes or
synchronises a file, speaks to the server, or enters the keystore's code or the TPM's library: what one such call has left is
what is there when the next begins. A keystore's functions do more than can be seen from here, so their ends count as well.
The product knows nothing of this: the interpreter's profiling hook counts and kills.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import pkgutil
import resource
import signal
import sys
import threading
import traceback
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

import device_sdk
from device_sdk.cli.bench_configuration import FileConfiguration
from device_sdk.cli.output import Output
from device_sdk.client.bench.facts import KeyWish
from device_sdk.client.device import Device, EnrolmentPlan, RenewalPlan
from device_sdk.client.device.bench import DeviceBench
from device_sdk.client.device.sync import (
    Deliveries,
    FirmwareDelivery,
    GeneratedDelivery,
    KeyDelivery,
    KeyEstablishmentDelivery,
)
from device_sdk.client.est import Clock
from device_sdk.client.est.symmetric_keys import KeyPackagePolicy
from device_sdk.client.firmware import FileInstaller, FirmwarePolicy, FirmwareRules, HardwareModule
from device_sdk.errors import DeviceSdkError
from device_sdk.model.credentials import Credentials
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret

POSIX = {
    "open", "write", "pwrite", "fsync", "rename", "replace", "unlink", "remove", "rmdir", "symlink", "link", "mkdir", "fchmod",
    "ftruncate",
}  # fmt: skip
NETWORK = {"connect", "do_handshake", "read", "recv", "recv_into", "send", "sendall", "write"}
TPM = {"Esys_Create", "Esys_Load", "Esys_Sign", "Esys_EvictControl"}
CALLS = POSIX | NETWORK | TPM
KEYSTORE = {"create", "delete", "store_certificate", "generate", "create_object", "destroy"}
READING = {"open", "list", "login"}
FUNCTIONS = KEYSTORE | READING
KEYSTORES = str(Path(device_sdk.__file__).parent / "keystores") + os.sep
# Locks of keystores, and what TLS is given by way of files in memory: nothing that lasts.
FLEETING = (f"{os.sep}lock.py", f"openssl_provider{os.sep}files.py")
# What these open they only read, or synchronise.
READERS = {"read_file", "sync_directory"}


def counts(frame: FrameType, event: str, arg: Any) -> bool:
    """Whether this is a moment at which dying might make a difference; said of calls that `Killer` lets through."""
    code = frame.f_code
    if event == "c_call":
        name = arg.__name__
        module = getattr(arg, "__module__", None) or type(arg.__self__).__module__
        if module == "posix":
            fleeting = code.co_filename.endswith(FLEETING) or (name == "open" and code.co_name in READERS)
            return name in POSIX and not fleeting
        return name in TPM or (module in ("_ssl", "_socket", "socket", "ssl") and name in NETWORK)
    return (event == "call" or code.co_name in KEYSTORE) and code.co_filename.startswith(KEYSTORES)


class Killer:
    """Counts events; ends the process at one of them, without a word."""

    def __init__(self, kill_at: int | None) -> None:
        self.events = 0
        self._kill_at = kill_at

    def watch(self) -> None:
        """From now on; without a number there is nobody to count for, and all goes at its own speed."""
        if self._kill_at is not None:
            threading.setprofile(self)
            sys.setprofile(self)

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        # the interpreter asks some hundred thousand times: what is nothing must be nothing at once
        if event == "c_call":
            if arg.__name__ not in CALLS:
                return
        elif event == "c_return" or frame.f_code.co_name not in FUNCTIONS:
            return
        if counts(frame, event, arg):
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
        srp=Credentials(spec["srp_user"], Secret(spec["srp_password"])) if "srp_user" in spec else None,
        renewal_url=spec.get("renewal_url"),
    )


def deliveries_of(spec: dict[str, str]) -> Deliveries:
    """Keys into a directory, firmware into a file; or a key that the server generates into one, with its certificate; or a
    second certificate."""

    def anchors(name: str) -> tuple[x509.Certificate, ...]:
        return tuple(x509.load_pem_x509_certificates(Path(spec[name]).read_bytes()))

    if "establishing" in spec:
        return Deliveries(key_establishment=lambda: KeyEstablishmentDelivery(spec["establishing"]))
    if "generated" in spec:
        place = Path(spec["generated"])
        made = GeneratedDelivery(
            f"file:{place}/key.pem", place / "certificate.pem", KeyPackagePolicy(anchors("keys_anchors"))
        )
        return Deliveries(generated=lambda: made)
    image = Path(spec["image"])
    policy = KeyPackagePolicy(anchors("keys_anchors"))
    module = HardwareModule(spec["hardware"], b"\0\xa1")
    rules = FirmwareRules(anchors("firmware_anchors"), FirmwarePolicy(module))
    return Deliveries(
        keys=lambda: KeyDelivery(policy, Path(spec["keys_to"])),
        firmware=lambda: FirmwareDelivery(rules, FileInstaller(image), image.parent),
    )


class MovedClock(Clock):
    """The machine's clock, that many seconds ahead; nobody sleeps."""

    def __init__(self, offset_s: float) -> None:
        self._offset = timedelta(seconds=offset_s)

    def now(self) -> datetime:
        return super().now() + self._offset

    def sleep(self, seconds: float) -> None:
        self._offset += timedelta(seconds=seconds)


def step_of_a_bench(spec: dict[str, str]) -> None:
    """One operation of a device on a bench; what it is given is in files."""
    options = argparse.Namespace(config=spec["config"], state_dir=spec["state"])
    bench = DeviceBench(FileConfiguration(options, Output()))
    match spec["step"]:
        case "configure":
            bench.configure(Path(spec["new_config"]).read_bytes(), Path(spec["anchors"]).read_bytes())
        case "create-key":
            bench.create_key(KeyWish(spec["key_uri"], file_allowed=True))
        case "request":
            Path(spec["csr"]).write_bytes(bench.request())
        case "install":
            bench.install(Path(spec["answer"]).read_bytes(), Path(spec["cacerts"]).read_bytes())


def child(command: dict[str, Any], report: int) -> None:
    spec = command["spec"]
    clock = MovedClock(float(spec["offset_s"])) if "offset_s" in spec else None
    device = Device(spec["state"], clock=clock, lock_wait_s=float(spec.get("lock_wait_s", 0)))
    plan = plan_of(spec) if "url" in spec else None
    if "file_size" in spec:
        limit = int(spec["file_size"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    killer = Killer(command["kill_at"])
    error = None
    killer.watch()
    try:
        if command["operation"] == "bench":
            step_of_a_bench(spec)
        elif command["operation"] == "enroll" and plan is not None:
            device.enroll(plan)
        elif command["operation"] == "refresh":
            device.refresh_anchors()
        elif command["operation"] == "manage":
            device.manage_anchors()
        elif command["operation"] == "sync":
            device.sync(deliveries=deliveries_of(spec) if {"keys_anchors", "establishing"} & spec.keys() else None)
        else:
            implicit = {"yes": True, "no": False}.get(spec.get("implicit", ""))
            device.renew(RenewalPlan(implicit=implicit))
    except DeviceSdkError as caught:
        error = f"{type(caught).__name__}: {caught}"
    except BaseException:  # noqa: BLE001  # whatever it is, the test wants to see it
        error = traceback.format_exc()
    finally:
        sys.setprofile(None)
    os.write(report, json.dumps({"events": killer.events, "error": error}).encode())


def preload() -> None:
    """Import once, before the children are forked, what each of them would import."""
    for layer in ("client", "transports", "keystores"):
        package = import_module(f"device_sdk.{layer}")
        for module in pkgutil.walk_packages(package.__path__, f"device_sdk.{layer}."):
            import_module(module.name)


def main() -> None:
    preload()
    gc.collect()
    gc.freeze()  # what does not change stays shared with the children
    for line in sys.stdin:
        command = json.loads(line)
        ours, theirs = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(ours)
            if command["environment"] is not None:
                os.environ.clear()
                os.environ.update(command["environment"])
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
