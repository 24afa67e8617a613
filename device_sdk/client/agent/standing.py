"""How a device stands: what a desk has to know of it before it lets anybody change it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from device_sdk.state import Operation, StateDirectory


@dataclass(frozen=True)
class Standing:
    """How a device stands now.

    Attributes:
        certificate: SHA-256 of its certificate, hexadecimal; None if it has none.
        enrolling: an enrolment was begun and has not ended.
        replaces: the certificate that the device had when that began, as above.
    """

    certificate: str | None = None
    enrolling: bool = False
    replaces: str | None = None


def standing_of(directory: Path) -> Standing:
    """What the state directory says.

    Raises:
        StateError: it cannot be read.
    """
    state = StateDirectory(directory)
    current, journal = state.load().current, state.journal()
    certificate = current.certificate if current else None
    if journal is None or journal.operation is not Operation.ENROLL:
        return Standing(certificate)
    return Standing(certificate, enrolling=True, replaces=journal.replaces.certificate if journal.replaces else None)
