"""A TPM per test, the wire to it in our hands, and a look afterwards whether anything was left in it."""

import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from device_sdk_simulators.softhsm import SimulatorError
from device_sdk_simulators.swtpm import Swtpm


@pytest.fixture(scope="session")
def new_tpm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a TPM fresh from the factory, made once: every test starts from a copy."""
    directory = tmp_path_factory.mktemp("factory") / "swtpm"
    Swtpm(directory, start=False)
    return directory / "state"


@pytest.fixture
def swtpm(new_tpm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Swtpm]:
    """A fresh TPM 2.0; TPM2TOOLS_TCTI and TPM2OPENSSL_TCTI point to it while the test runs."""
    shutil.copytree(new_tpm, tmp_path / "swtpm" / "state")
    with Swtpm(tmp_path / "swtpm") as tpm:
        for name, value in tpm.environment.items():
            monkeypatch.setenv(name, value)
        yield tpm


@pytest.fixture(autouse=True)
def private_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICE_SDK_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("DEVICE_SDK_CERTIFICATES", str(tmp_path / "certificates"))
    monkeypatch.setenv("DEVICE_SDK_REFUSED_PINS", str(tmp_path / "refused"))
    monkeypatch.delenv("DEVICE_SDK_TCTI", raising=False)


@pytest.fixture
def tools(swtpm: Swtpm, tmp_path: Path) -> Callable[..., str]:
    """Run tpm2-tools or OpenSSL on this TPM; their output."""
    import os

    def run(*command: str, fails: bool = False, data: bytes | None = None) -> str:
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | swtpm.environment,
            capture_output=True,
            timeout=30,
            input=data,
            check=False,
        )
        assert (done.returncode != 0) is fails, (command, done.stdout, done.stderr)
        return done.stdout.decode(errors="replace")

    return run


@pytest.fixture
def loaded(tools: Callable[..., str]) -> Callable[[], str]:
    """What is loaded in the TPM, by tpm2-tools; empty if nothing is."""

    def list_handles() -> str:
        return (tools("tpm2_getcap", "handles-transient") + tools("tpm2_getcap", "handles-loaded-session")).strip()

    return list_handles


@pytest.fixture(autouse=True)
def nothing_left(swtpm: Swtpm, loaded: Callable[[], str]) -> Iterator[None]:
    """Sessions and TPM objects are always released, in every test of this folder."""
    yield
    try:
        swtpm.pid  # noqa: B018
    except SimulatorError:  # the test ended with the power off
        return
    assert loaded() == ""


class Wire:
    """Between the SDK and the TPM: answers in the TPM's place, cuts the line, or rewrites commands.

    Attributes:
        seen: command codes, in order.
        script: called with each command; returns None (pass on), bytes to pass on instead, an int to answer with that
            response code, or Cut to break the connection (before or after the TPM has seen the command).
    """

    def __init__(self, tpm: Swtpm, directory: Path) -> None:
        self._tpm = tpm
        self.path = directory / "wire.sock"
        self.seen: list[int] = []
        self.script: Callable[[bytes], object] = lambda _: None
        self._open = True
        self._listeners = [
            self._listen(str(self.path), self._commands),
            self._listen(f"{self.path}.ctrl", self._control),
        ]

    @property
    def tcti(self) -> str:
        return f"swtpm:path={self.path}"

    def _listen(self, path: str, handler: Callable[[socket.socket], None]) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(64)

        def accept() -> None:
            while self._open:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=self._guard, args=(handler, connection), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return listener

    @staticmethod
    def _guard(handler: Callable[[socket.socket], None], connection: socket.socket) -> None:
        with connection, suppress(OSError):
            handler(connection)

    def _commands(self, connection: socket.socket) -> None:
        while command := _message(connection):
            self.seen.append(int.from_bytes(command[6:10], "big"))
            decision = self.script(command)
            if decision == "cut":
                return
            if isinstance(decision, int):
                connection.sendall(b"\x80\x01" + (10).to_bytes(4, "big") + decision.to_bytes(4, "big"))
                continue
            with socket.socket(socket.AF_UNIX) as tpm:
                tpm.connect(str(self._tpm.socket))
                tpm.sendall(decision if isinstance(decision, bytes) else command)
                answer = _message(tpm)
            if decision == "cut after":
                return
            connection.sendall(answer)

    def _control(self, connection: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as tpm:
            tpm.connect(f"{self._tpm.socket}.ctrl")
            while data := connection.recv(4096):
                tpm.sendall(data)
                connection.sendall(tpm.recv(4096))

    def close(self) -> None:
        self._open = False
        for listener in self._listeners:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def _message(connection: socket.socket) -> bytes:
    data = b""
    while len(data) < 10 or len(data) < int.from_bytes(data[2:6], "big"):
        more = connection.recv(4096)
        if not more:
            return b""
        data += more
    return data


@pytest.fixture
def wire(swtpm: Swtpm) -> Iterator[Wire]:
    """The wire to the TPM; use `wire.tcti` in URIs."""
    directory = Path(tempfile.mkdtemp(prefix="wire-", dir="/tmp"))
    line = Wire(swtpm, directory)
    yield line
    line.close()
    shutil.rmtree(directory)
