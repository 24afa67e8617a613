"""The reference server as a process of its own, which a test can kill."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

_READY_S = 30.0


class ServerProcess:
    """`device-sdk-sim server` in a child process; ready when the `with` block begins.

    Args:
        state: its state directory; another one may follow in the same place.
        arguments: further arguments of the command ("--fault", "truncate").
        user: a user that may enrol with a password.

    Attributes:
        facts: what the command said about itself.
    """

    def __init__(self, state: Path, *arguments: str, user: str = "device") -> None:
        self.state = state
        self.user = user
        self.facts: dict[str, object] = {}
        self._words = ["server", "--state", str(state), "--user", user, "--json", *arguments]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Start and wait until it is ready; TimeoutError or OSError if it is not."""
        command = [sys.executable, "-m", "device_sdk_simulators.cli.main", *self._words]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        output = self._process.stdout
        if output is None or not select.select([output], [], [], _READY_S)[0]:
            self.kill()
            raise TimeoutError("the reference server did not start")
        line = output.readline()
        if not line:
            raise OSError(f"the reference server ended with code {self._process.wait()}")
        self.facts = json.loads(line)
        return self

    def kill(self) -> None:
        """End it without a chance to tidy up, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._end(self._process)

    def stop(self) -> int:
        """End it in order; its exit code."""
        if self._process is None:
            return 0
        self._process.terminate()
        return self._end(self._process)

    def _end(self, process: subprocess.Popen[str]) -> int:
        self._process = None
        try:
            return process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            if process.stdout is not None:
                process.stdout.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return int(str(self.facts["pid"]))

    @property
    def url(self) -> str:
        """Base URL of the EST server."""
        return str(self.facts["url"])

    @property
    def cale_url(self) -> str:
        """Base URL of the CALE edge device."""
        return str(self.facts["cale_url"])

    @property
    def ca_file(self) -> Path:
        """PEM with the trust anchor."""
        return Path(str(self.facts["ca_file"]))

    @property
    def issuer_file(self) -> Path:
        """PEM with the CA that signs clients, followed by its root."""
        return Path(str(self.facts["issuer_file"]))

    @property
    def password_file(self) -> Path:
        """File with the password of `user`."""
        return Path(str(self.facts["password_file"]))

    @property
    def password(self) -> str:
        """The password of `user`."""
        return self.password_file.read_text().rstrip("\n")

    def log(self) -> list[dict[str, object]]:
        """The audit log, one dict a request."""
        lines = Path(str(self.facts["log_file"])).read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
