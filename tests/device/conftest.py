from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.device import Device, EnrolmentPlan
from device_sdk.client.est import Clock
from device_sdk.model.credentials import Credentials
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret


class Bench:
    """A device with file keys, a server, and what one wants to know about both."""

    def __init__(self, server: ReferenceServer, directory: Path, clock: Clock) -> None:
        self.server = server
        self.clock = clock
        self.keys = directory / "keys"
        self.keys.mkdir(mode=0o700)
        self.key_uri = f"file:{self.keys}/device.pem"
        self.device = Device(directory / "state", clock=clock)
        self.plan = EnrolmentPlan(
            url=server.url,
            key_uri=self.key_uri,
            spec=CsrSpec(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "router-7")])),
            anchors=tuple(x509.load_pem_x509_certificates(server.ca_file.read_bytes())),
            credentials=Credentials(server.user or "", Secret(server.password)),
        )

    def planned(self, **changes: object) -> EnrolmentPlan:
        return dataclasses.replace(self.plan, **changes)  # type: ignore[arg-type]

    def key_files(self) -> list[str]:
        return sorted(path.name for path in self.keys.glob("*.pem"))

    def logged(self, operation: str) -> list[dict[str, object]]:
        return [entry for entry in self.server.log() if entry["operation"] == operation]

    def require_sound(self) -> None:
        """The state is consistent, nothing is under way, and the key opens and is the certificate's."""
        assert self.device.state.check() == ()
        assert self.device.state.journal() is None
        identity = self.device.tls_identity()
        assert isinstance(identity.key, ec.EllipticCurvePrivateKey)
        assert spki(identity.key) == spki(identity.chain[0])
        self.device.key().close()


def spki(holder: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class SlowTime(Clock):
    """The machine's clock, moved; sleeping only moves it further."""

    def __init__(self) -> None:
        self.offset_s = 0.0
        self.slept: list[float] = []
        self.on_sleep: Callable[[], object] = lambda: None

    def now(self):  # type: ignore[no-untyped-def]
        from datetime import timedelta

        return super().now() + timedelta(seconds=self.offset_s)

    def monotonic(self) -> float:
        return super().monotonic() + self.offset_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.offset_s += seconds
        self.on_sleep()


@pytest.fixture
def clock() -> SlowTime:
    return SlowTime()


@pytest.fixture
def bench(est_server: ReferenceServer, tmp_path: Path, clock: SlowTime) -> Bench:
    return Bench(est_server, tmp_path, clock)


NEVER = 10**9


class Runner:
    """crash_launcher.py, with one line out and one line in for every run.

    Args:
        process: the launcher.
        own: whether its environment is its own; if not, each run has that of the present test.
    """

    def __init__(self, process: subprocess.Popen[str], *, own: bool) -> None:
        self._process, self._own = process, own

    def run(self, operation: str, spec: dict[str, str], kill_at: int | None = None) -> dict[str, Any]:
        """Run until the end or the N-th event: status as of waitpid, and where it ended: events (if counted) and error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = {
            "operation": operation,
            "kill_at": kill_at,
            "spec": spec,
            "environment": None if self._own else dict(os.environ),
        }
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert os.WTERMSIG(answer["status"]) in (0, signal.SIGKILL), answer
        return answer

    def finish(self, operation: str, spec: dict[str, str]) -> None:
        """Run to the end."""
        answer = self.run(operation, spec)
        assert answer["error"] is None, answer["error"]

    def counted(self, operation: str, spec: dict[str, str], error: str | None = None) -> int:
        """Run to the end, or to this error; gives the number of events."""
        answer = self.run(operation, spec, NEVER)
        assert answer["error"] == error or (error and answer["error"].startswith(error)), answer["error"]
        return int(answer["events"])


@contextmanager
def running(*prefix: str, launcher: Path | None = None) -> Iterator[Runner]:
    command = [*prefix, sys.executable, str(launcher or Path(__file__).with_name("crash_launcher.py"))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as process:
        try:
            yield Runner(process, own=bool(prefix))
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def new_runner() -> Iterator[Callable[..., Runner]]:
    """Start further launchers, each behind a command line of one's own."""
    with ExitStack() as stack:
        yield lambda *prefix: stack.enter_context(running(*prefix))


@pytest.fixture(scope="session")
def runner() -> Iterator[Runner]:
    """One launcher for all tests; each run has the environment of its test."""
    with running() as started:
        yield started


@pytest.fixture
def spec(est_server, tmp_path: Path) -> dict[str, str]:
    return {
        "url": est_server.url,
        "anchors": str(est_server.ca_file),
        "user": est_server.user,
        "password": est_server.password,
        "state": str(tmp_path / "state"),
        "name": "router-7",
    }


@pytest.fixture
def file_keys(spec: dict[str, str], tmp_path: Path) -> str:
    (tmp_path / "keys").mkdir(mode=0o700)
    spec["key_uri"] = f"file:{tmp_path}/keys/device.pem"
    return f"file:{tmp_path}/keys"


@pytest.fixture
def objects(softhsm_token: Any) -> Callable[[], list[str]]:
    """Kinds and labels of what pkcs11-tool sees in the token."""

    def listed() -> list[str]:
        token = softhsm_token
        command = [
            "pkcs11-tool",
            "--module",
            token.module_path,
            "--token-label",
            token.label,
            "--login",
            "--pin",
            "env:PIN",
        ]
        text = subprocess.run(
            [*command, "--list-objects"], capture_output=True, check=True, env=os.environ | {"PIN": token.pin}, text=True, timeout=60
        ).stdout  # fmt: skip
        found = re.findall(r"^(Private Key|Public Key|Certificate) Object.*?label: +(\S+)", text, re.M | re.S)
        return sorted(f"{kind} {label}" for kind, label in found)

    return listed
