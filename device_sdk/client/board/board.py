"""One check after the other, and the report of them all."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from device_sdk._version import __version__
from device_sdk.client.board.machine import clock_chip, machine, memory, room
from device_sdk.client.board.nodes import serial_lines, tpm_driver, usb_nodes
from device_sdk.client.board.trial import Trial
from device_sdk.client.doctor import Finding
from device_sdk.client.doctor_hardware import Verdict, check_hardware
from device_sdk.errors import DeviceSdkError
from device_sdk.identity.roots import Roots
from device_sdk.model.secret import SecretProvider

REPORT_VERSION = 1
_WHOSE = re.compile(r"\b(serial|token)=[^;?&,\s]+")


@dataclass
class BoardDoctor:
    """Checks one board, and one token or TPM on it.

    Attributes:
        state_dir: where the device's state will be.
        key_uri: token or TPM that is tried, without an object; None for the machine alone.
        pin: gives the PIN where the URI names none.
        thorough: RSA keys, too: on a real TPM they take minutes.
        roots: where sysfs and procfs are.
    """

    state_dir: Path
    key_uri: str | None = None
    pin: SecretProvider | None = None
    thorough: bool = False
    roots: Roots = field(default_factory=Roots)

    def run(self) -> Iterator[Finding]:
        """Every check in order; none of them raises. Keys that are made for a check are gone after it."""
        self._found: list[Finding] = []
        self._trial = Trial(self.key_uri, self.pin, thorough=self.thorough) if self.key_uri else None
        for name, check in self._checks():
            try:
                verdict = check()
            except DeviceSdkError as error:
                verdict = "failed", error.message, error.hint
            except OSError as error:
                verdict = "failed", f"{error.filename or name}: {error.strerror or error}", None
            self._found.append(Finding(name, *verdict))
            yield self._found[-1]

    def report(self) -> dict[str, object]:
        """What `run` found, as data: no PIN, no serial number of the token, no key, nothing of the network."""
        said: dict[str, object] = {
            "report": REPORT_VERSION,
            "device_sdk": __version__,
            "python": platform.python_version(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "libc": " ".join(platform.libc_ver()),
            "checks": [one.to_json() for one in self._found],
            "keystore": self._trial.to_json() if self._trial else None,
        }
        return {name: _unnamed(value) for name, value in said.items()}

    def _checks(self) -> Iterator[tuple[str, Callable[[], Verdict]]]:
        yield "machine", lambda: machine(self.roots)
        yield "memory", lambda: memory(self.roots)
        yield "room", lambda: room(self.state_dir)
        yield "clock-chip", lambda: clock_chip(self.roots)
        yield "tls-provider", _tls
        yield "tpm-driver", lambda: tpm_driver(self.roots)
        yield "usb", usb_nodes
        yield "serial-lines", serial_lines
        trial, uri = self._trial, self.key_uri
        if trial is None or uri is None:
            yield "keystore", lambda: ("skipped", "no token or TPM is named", "--key tpm2: or --key pkcs11:token=...")
            return
        yield "keystore", lambda: check_hardware(uri)
        yield "abilities", trial.abilities
        yield "limits", trial.limits
        yield "sign", trial.signing


def _unnamed(value: object) -> object:
    """The same without what tells one token from others: errors name the tokens that are there by their URIs."""
    if isinstance(value, dict):
        return {name: _unnamed(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_unnamed(one) for one in value]
    return _WHOSE.sub(r"\1=...", value) if isinstance(value, str) else value


def _tls() -> Verdict:
    from device_sdk.transports.factory import self_test

    return "ok", f"hardware keys can sign TLS handshakes ({self_test()})", None
