"""The command line as a script meets it: a process, its exit code, and two streams."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.http.messages import Request, Response
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SoftHsm

from tests import warm
from tests.mounts import UNSHARE

if TYPE_CHECKING:
    from tests.cli.terminal import Terminal

COMMAND = [sys.executable, "-m", "device_sdk.cli.main"]


@dataclass(frozen=True)
class Done:
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout, which has to be exactly one JSON document."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error of a command with --json."""
        return self.json["error"]


class Cli:
    """Runs `device-sdk` with an environment of its own; nothing of this machine's configuration is read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment: dict[str, str] = {
            "DEVICE_SDK_REFUSED_PINS": str(directory / "refused-pins"),
            "DEVICE_SDK_RUNTIME_DIR": str(directory / "run"),
            "DEVICE_SDK_CERTIFICATES": str(directory / "certificates"),
            "HOME": str(directory),
            "DEVICE_SDK_CONFIG": str(directory / "config.toml"),
        }
        (directory / "config.toml").touch()

    def run(self, *words: object, prefix: tuple[str, ...] = (), **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run a command.

        Args:
            words: the command.
            prefix: a command line before it.
            options: for subprocess.run; `env` has what is added to the environment, `before` is Python code that comes first.
        """
        environment = os.environ | self.environment | options.pop("env", {})
        if before := options.pop("before", None):
            program = self.directory / "prepared.py"
            program.write_text(f"{before}\nimport sys\nfrom device_sdk.cli.main import main\nsys.exit(main())\n")
            return warm.run([program, *words], env=environment, cwd=self.directory, **options)
        if not prefix:
            return warm.run([*COMMAND[1:], *map(str, words)], env=environment, cwd=self.directory, **options)
        given = {"stdin": subprocess.DEVNULL} if "input" not in options else {}
        return subprocess.run(
            [*prefix, *COMMAND, *map(str, words)],
            env=environment, cwd=self.directory, capture_output=True, timeout=120, check=False, **given, **options,
        )  # fmt: skip

    def __call__(self, *words: object, **options: Any) -> Done:
        done = self.run(*words, **options)
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, *words: object, **options: Any) -> Done:
        """Run a command that has to succeed."""
        done = self(*words, **options)
        assert done.code == 0, done.err + done.out
        return done

    def fails(self, code: int, *words: object, **options: Any) -> str:
        """Run a command that has to fail with this exit code; gives the one line it says."""
        done = self(*words, **options)
        assert done.code == code, done
        assert done.out == "", done.out
        lines = [line for line in done.err.splitlines() if not line.startswith(("device-sdk: warning:", "note:"))]
        assert len(lines) == 1, done.err
        assert lines[0].startswith("device-sdk: ")
        return lines[0]


class Lab:
    """A server, a key file, and the arguments that belong to them."""

    def __init__(self, cli: Cli, server: ReferenceServer, directory: Path) -> None:
        self.cli = cli
        self.server = server
        self.directory = directory
        self.keys = directory / "keys"
        self.keys.mkdir(mode=0o700)
        self.state = directory / "state"

    @property
    def trust(self) -> tuple[str, ...]:
        """Where the server is, and whom to trust."""
        return "--url", self.server.url, "--anchors", str(self.server.ca_file)

    @property
    def login(self) -> tuple[str, ...]:
        return "--user", str(self.server.user), "--password-file", str(self.server.password_file)

    @property
    def pin(self) -> str:
        return f"sha256:{self.server.ca_sha256}"

    def key(self, name: str = "device", kind: str = "ec-p256") -> str:
        """The URI of a key file made now."""
        uri = f"file:{self.keys}/{name}.pem"
        self.cli.ok("keys", "create", uri, "--type", kind)
        return uri

    def enroll_words(self, key: str, *more: object) -> tuple[object, ...]:
        """`device-sdk enroll` of a device in the state directory."""
        return (
            "enroll",
            "--state",
            self.state,
            "--key",
            key,
            *self.trust,
            *self.login,
            "--subject",
            "CN=router-7",
            *more,
        )

    def enrolled(self, name: str = "device", *more: object) -> str:
        """Enrol with a key that is made by that; gives the key's URI."""
        uri = f"file:{self.keys}/{name}.pem"
        self.cli.ok(*self.enroll_words(uri, *more))
        return uri

    def certificate(self, path: Path, key: str) -> Path:
        """A certificate for a key, by `est enroll`."""
        self.cli.ok("est", "enroll", *self.trust, *self.login, "--key", key, "--subject", "CN=router-7", "--out", path)
        return path

    @contextlib.contextmanager
    def held_back(self, operation: str) -> Iterator[threading.Event]:
        """Inside, the server answers this operation to nobody; the event says that it was asked."""
        asked, go_on = threading.Event(), threading.Event()
        operations = self.server.est._operations
        method, answer = operations[operation]

        def late(request: Request, route: Route) -> Response:
            asked.set()
            go_on.wait(100)
            return answer(request, route)

        operations[operation] = (method, late)
        try:
            yield asked
        finally:
            operations[operation] = (method, answer)
            go_on.set()

    def operations(self) -> list[tuple[str, int]]:
        """What the server was asked, and what it answered."""
        return [(str(entry["path"]).rpartition("/")[2], int(str(entry["status"]))) for entry in self.server.log()]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def lab(cli: Cli, est_server: ReferenceServer, tmp_path: Path) -> Lab:
    return Lab(cli, est_server, tmp_path)


@pytest.fixture
def terminal(cli: Cli) -> Iterator[Callable[..., Terminal]]:
    """Runs a command at a terminal: `terminal(*words)`."""
    from tests.cli.terminal import Terminal

    with contextlib.ExitStack() as opened:

        def start(*words: object) -> Terminal:
            started = Terminal(cli, *words)
            opened.callback(started.close)
            return started

        yield start


def leaf(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(path.read_bytes())[0]


def openssl(*words: object, data: bytes | None = None) -> str:
    """Run openssl; its stdout and stderr."""
    done = subprocess.run(["openssl", *map(str, words)], input=data, capture_output=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


@pytest.fixture
def token(softhsm_token: SoftHsm) -> SoftHsm:
    """A SoftHSM token with the PIN named in its URIs."""
    return softhsm_token


NO_OVERRIDE: tuple[str, ...] = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
    if os.geteuid() == 0
    else ()
)
"""In front of a command: permissions count for root, too."""


def on_tmpfs(setup: str, directory: Path) -> tuple[str, ...]:
    """In front of a command: a file system of its own in `directory`, seen by that command only.

    Args:
        setup: shell commands, in which "$mount" is the directory.
        directory: made if it is not there.
    """
    directory.mkdir(exist_ok=True)
    script = f'mount=$1; shift; {setup}; exec "$@"'
    return (*UNSHARE, "sh", "-ec", script, "sh", str(directory))


@pytest.fixture
def skg(lab: Lab) -> Lab:
    """A server that gives keys, in TLS alone, encrypted to a secret, and to a certificate."""
    from tests.cli.generated import IDENTIFIER, SECRET

    lab.server.policy.serverkeygen = {"clear", "secret", "certificate"}
    lab.server.est.server_keys.secrets.add(bytes.fromhex(IDENTIFIER), SECRET)
    (lab.directory / "secret").write_text(SECRET.hex() + "\n")
    (lab.directory / "secret").chmod(0o600)
    return lab
