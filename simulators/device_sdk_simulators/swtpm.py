"""A private TPM 2.0: swtpm on Unix sockets in a directory of its own, gone when it is closed."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from device_sdk_simulators.softhsm import SimulatorError

_GET_RANDOM = bytes.fromhex("80010000000c0000017b0008")  # answered only by a TPM that has started up
_UNIX_PATH_MAX = 100


class Swtpm:
    """One swtpm process.

    Args:
        directory: where state and sockets are kept; a fresh temporary one, removed by close(), if None. Kept state is
            started again as it was.
        start: start the process at once.

    Attributes:
        state: the directory with the TPM's permanent state.
        socket: the command socket; the control socket is beside it with `.ctrl` appended.
    """

    def __init__(self, directory: Path | None = None, *, start: bool = True) -> None:
        self._temporary = directory is None
        self.directory = (
            Path(tempfile.mkdtemp(prefix="swtpm-")) if directory is None else directory.absolute().absolute()
        )
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state = self.directory / "state"
        self._sockets = self._socket_directory()
        self.socket = self._sockets / "tpm.sock"
        self._process: subprocess.Popen[bytes] | None = None
        try:
            if not self.state.exists():
                self._set_up()
            if start:
                self.start()
        except BaseException:
            self.close()
            raise

    def _socket_directory(self) -> Path:
        """The directory itself, or a short one of its own where the path would not fit a Unix socket address."""
        if len(str(self.directory / "tpm.sock.ctrl")) <= _UNIX_PATH_MAX:
            return self.directory
        return Path(tempfile.mkdtemp(prefix="swtpm-", dir="/tmp"))

    def _set_up(self) -> None:
        # gets its name when it is complete: what is interrupted here is made anew the next time
        unfinished = self.directory / "state.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._run("swtpm_setup", "--tpm2", "--tpmstate", str(unfinished), "--createek", "--overwrite", "--pcr-banks", "sha256",
                  "--config", str(self._setup_config()))  # fmt: skip
        unfinished.rename(self.state)

    def _setup_config(self) -> Path:
        """A configuration without the certificate tools, so that nothing outside this directory is written."""
        config = self.directory / "swtpm_setup.conf"
        config.write_text("active_pcr_banks = sha256\n")
        return config

    def _run(self, *command: str) -> None:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
            )
        except FileNotFoundError as error:
            raise SimulatorError(f"{command[0]} not found: apt-get install swtpm swtpm-tools") from error
        if done.returncode != 0:
            raise SimulatorError(f"{command[0]} failed: {(done.stdout + done.stderr).strip()[-2000:]}")

    @property
    def tcti(self) -> str:
        """How tpm2-tss reaches this TPM."""
        return f"swtpm:path={self.socket}"

    @property
    def environment(self) -> dict[str, str]:
        """What tpm2-tools, tpm2-openssl and others need in their environment to use this TPM."""
        return {"TPM2TOOLS_TCTI": self.tcti, "TPM2OPENSSL_TCTI": self.tcti, "TSS2_LOG": "all+NONE"}

    @property
    def pid(self) -> int:
        """The process, for signals; SimulatorError if it does not run."""
        if self._process is None:
            raise SimulatorError("this swtpm is not running")
        return self._process.pid

    def start(self) -> None:
        """Power on: start the process and wait until the TPM answers.

        Raises:
            SimulatorError: swtpm is not installed, or did not answer within a minute.
        """
        log = self.directory / "swtpm.log"
        for stale in (self.socket, Path(f"{self.socket}.ctrl")):
            stale.unlink(missing_ok=True)
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.state},mode=0600",
                   "--server", f"type=unixio,path={self.socket},mode=0600",
                   "--ctrl", f"type=unixio,path={self.socket}.ctrl,mode=0600",
                   "--flags", "not-need-init,startup-clear", "--log", f"file={log},level=1"]  # fmt: skip
        try:
            # its own session: a Ctrl-C at the terminal ends us, and we end it
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise SimulatorError("swtpm not found: apt-get install swtpm") from error
        self._wait_until_ready(log)

    def _wait_until_ready(self, log: Path) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            if self._answers():
                return
            time.sleep(0.01)
        words = log.read_text(errors="replace")[-2000:] if log.exists() else ""
        self.kill()
        raise SimulatorError(f"swtpm did not start: {words.strip() or 'no message'}")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            try:
                connection.connect(str(self.socket))
                connection.sendall(_GET_RANDOM)
                answer = connection.recv(4096)
            except OSError:
                return False
        return len(answer) >= 10 and answer[6:10] == b"\0\0\0\0"

    def kill(self) -> None:
        """Power cut: SIGKILL, no TPM2_Shutdown."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the process in an orderly way; the state stays."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Power off (if on) without a shutdown command, and on again: transient objects and sessions are gone."""
        self.kill()
        self.start()

    def close(self) -> None:
        """Stop, and remove the state if it was made in a temporary directory."""
        self.stop()
        if self._sockets != self.directory:
            shutil.rmtree(self._sockets, ignore_errors=True)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
