"""Who signs firmware: a CA of its own, so that nobody who issues certificates to devices can also reprogram them (AMB-20)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from device_sdk_simulators.ca.directory import make_first, read_generation
from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.ca.keys import pem, write_file

ANCHORS = "anchors.pem"
_NAME = "firmware-ca"


def firmware_signer(state: Path, now: datetime) -> tuple[Authority, Path]:
    """The signer, and the file with the trust anchor for devices; made at first use.

    Args:
        state: the server's state directory.
        now: the present.
    """
    directory = state / _NAME
    make_first(directory, "ec-p256", now, suffix=" (firmware)")
    generation = read_generation(directory)
    anchors = directory / ANCHORS
    if not anchors.exists():
        write_file(anchors, pem(generation.root.certificate), 0o644)
    return generation.issuing, anchors
