"""Debian packages for a system that is only unpacked: found and fetched with apt, without installing anything here."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from device_sdk_simulators.softhsm import SimulatorError


class Archive:
    """The packages of this machine's own Debian release, seen as if nothing was installed.

    Args:
        directory: where package files and, if need be, package lists are kept.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._debs = directory / "debs"
        self._own_lists = False
        (self._debs / "partial").mkdir(parents=True, exist_ok=True)
        (directory / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (directory / "status").touch()

    def fetch(self, wanted: list[str], unwanted: str) -> dict[str, Path]:
        """The package files of everything that `wanted` needs, by package name.

        Args:
            wanted: names of packages.
            unwanted: regular expression of names that are left out, whatever needs them.

        Raises:
            SimulatorError: apt does not know a package or cannot fetch it.
        """
        try:
            return self._fetch(wanted, unwanted)
        except SimulatorError:
            if self._own_lists:
                raise
        self._update()
        return self._fetch(wanted, unwanted)

    def dependency(self, package: str, pattern: str) -> str:
        """The first package that `package` depends on and whose name matches.

        Raises:
            SimulatorError: there is none.
        """
        for _ in range(2):
            found = re.search(rf"Depends: ({pattern})\n", self._apt("apt-cache", "depends", package, check=False))
            if found:
                return found[1]
            self._update()
        raise SimulatorError(f"apt knows no {package} that depends on {pattern}: apt-get update, on Debian")

    def _fetch(self, wanted: list[str], unwanted: str) -> dict[str, Path]:
        planned = self._apt("apt-get", "-qq", "-s", "install", *wanted)
        names = {line.split()[1].partition(":")[0] for line in planned.splitlines() if line.startswith("Inst ")}
        names = {name for name in names if not re.fullmatch(unwanted, name)} | set(wanted)
        missing = [name for name in sorted(names) if self._file(name) is None]
        if missing:
            self._apt("apt-get", "-qq", "download", *missing)
        files = {name: self._file(name) for name in sorted(names)}
        return {name: file for name, file in files.items() if file is not None}

    def _file(self, name: str) -> Path | None:
        return next(iter(sorted(self._debs.glob(f"{name}_*.deb"))), None)

    def _update(self) -> None:
        self._own_lists = True
        self._apt("apt-get", "-qq", "update", check=False)  # one source of many may be out of reach

    def _apt(self, *command: str, check: bool = True) -> str:
        options = [
            f"Dir::State::status={self.directory / 'status'}",
            f"Dir::Cache::archives={self._debs}",
            f"APT::Sandbox::User={os.environ.get('USER', 'root')}" if os.getuid() else "APT::Sandbox::User=root",
            "APT::Install-Recommends=false",
            "Debug::NoLocking=true",
        ]
        if self._own_lists:
            options.append(f"Dir::State::lists={self.directory / 'lists'}")
        words = [command[0], *(word for option in options for word in ("-o", option)), *command[1:]]
        try:
            done = subprocess.run(words, cwd=self._debs, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=600, check=False)  # fmt: skip
        except FileNotFoundError as error:
            raise SimulatorError("apt-get not found: a virtual device is made of Debian packages, on Debian") from error
        if check and done.returncode:
            raise SimulatorError(f"{command[0]} failed: {done.stderr.strip()[-1000:]}")
        return done.stdout
