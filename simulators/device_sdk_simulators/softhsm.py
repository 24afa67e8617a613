"""A private SoftHSM2 token: own configuration, own token directory, gone when it is closed."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

_MODULE_PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


class SimulatorError(Exception):
    """A simulator could not be started; the message says what is missing or what it printed."""


def module_path() -> str:
    """Where SoftHSM2's PKCS#11 module is.

    Raises:
        SimulatorError: SoftHSM2 is not installed.
    """
    wanted = os.environ.get("SOFTHSM2_MODULE")
    for place in (wanted, *_MODULE_PLACES):
        if place and Path(place).exists():
            return str(Path(place).absolute())
    raise SimulatorError("libsofthsm2.so not found: apt-get install softhsm2, or set SOFTHSM2_MODULE")


def _encoded(path: str | Path) -> str:
    """A path as the value of a query attribute (RFC 7512 section 2.3)."""
    return quote(str(path), safe="/-._~")


class SoftHsm:
    """One SoftHSM2 installation with one or more tokens.

    SoftHSM reads SOFTHSM2_CONF when a process initialises the module, so `environment` has to be in place by then.

    Args:
        directory: where tokens and configuration are kept; a fresh temporary one, removed by close(), if None.
        label: label of the first token; None makes none.
        pin: user PIN; random digits if None.
        so_pin: security officer's PIN; random digits if None.

    Attributes:
        conf: the configuration file (SOFTHSM2_CONF).
        pin_file: file holding the PIN, mode 0600, without a newline.
        serial: the first token's serial number.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        label: str | None = "device",
        pin: str | None = None,
        so_pin: str | None = None,
    ) -> None:
        self.module_path = module_path()
        self._temporary = directory is None
        self.directory = (
            Path(tempfile.mkdtemp(prefix="softhsm-")) if directory is None else directory.absolute().absolute()
        )
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        tokens = self.directory / "tokens"
        tokens.mkdir(mode=0o700, exist_ok=True)
        self.conf = self.directory / "softhsm2.conf"
        self.conf.write_text(
            f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
        )
        self.pin_file = self.directory / "pin"
        if pin is None and self.pin_file.exists():
            pin = self.pin_file.read_text()
        self.pin = pin or f"{secrets.randbelow(10**8):08d}"
        self.so_pin = so_pin or f"{secrets.randbelow(10**8):08d}"
        self.label = label or ""
        self.serial = ""
        try:
            self._write_pin()
            if label is not None:
                self.serial = self._serial_of(label) or self.add_token(label)
        except BaseException:
            self.close()
            raise

    def _write_pin(self) -> None:
        with os.fdopen(os.open(self.pin_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self.pin)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to use this installation."""
        return {"SOFTHSM2_CONF": str(self.conf)}

    @property
    def uri(self) -> str:
        """PKCS#11 URI of the first token; the PIN is named by its file."""
        return self.uri_of()

    def uri_of(self, object_label: str | None = None, *, token: str | None = None) -> str:
        """PKCS#11 URI of a token, or of an object on it (RFC 7512)."""
        path = f"pkcs11:token={quote(token or self.label, safe='-._~')}"
        if object_label is not None:
            path += f";object={quote(object_label, safe='-._~')}"
        return f"{path}?module-path={_encoded(self.module_path)}&pin-source=file:{_encoded(self.pin_file)}"

    def add_token(self, label: str) -> str:
        """Initialise a further token with the same PINs; returns its serial number. Labels may repeat."""
        before = set(self._tokens())
        self._util("--init-token", "--free", "--label", label, "--so-pin", self.so_pin, "--pin", self.pin)
        added = [serial for serial in self._tokens() if serial not in before]
        if len(added) != 1:
            raise SimulatorError(f"softhsm2-util made {len(added)} tokens instead of one")
        return added[0]

    def _tokens(self) -> dict[str, str]:
        found: dict[str, str] = {}
        serial = ""
        for line in self._util("--show-slots").splitlines():
            name, _, value = line.strip().partition(":")
            if name == "Serial number":
                serial = value.strip()
            elif name == "Label" and serial:
                found[serial] = value.strip()
                serial = ""
        return found

    def _serial_of(self, label: str) -> str | None:
        return next((serial for serial, name in self._tokens().items() if name == label), None)

    def _util(self, *arguments: str) -> str:
        try:
            done = subprocess.run(
                ["softhsm2-util", *arguments],
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except FileNotFoundError as error:
            raise SimulatorError("softhsm2-util not found: apt-get install softhsm2") from error
        if done.returncode != 0:
            raise SimulatorError(f"softhsm2-util {arguments[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def close(self) -> None:
        """Remove the token if it was made in a temporary directory."""
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
