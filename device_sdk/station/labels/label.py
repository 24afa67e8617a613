"""What stands on a label."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from device_sdk.errors import ConfigurationError
from device_sdk.station.ledger import DeviceRecord

_LABELLED = ("provisioned", "claimed")
_UNPROVED = "NOT ENROLLED"


@dataclass(frozen=True)
class Label:
    """A label.

    Attributes:
        serial_number: of the device.
        certificate_sha256: of the certificate that it proved, 64 hex digits; None where it proved none: the label says so.
        model: what it is, for people; "" if that is not known.
    """

    serial_number: str
    certificate_sha256: str | None = None
    model: str = ""

    @classmethod
    def of(cls, record: DeviceRecord) -> Self:
        """The label of a device that is provisioned, or is being provisioned just now.

        Raises:
            ConfigurationError: it failed, or was left in the middle: such a device gets none.
        """
        if record.state not in _LABELLED:
            why = f": {record.reason}" if record.reason else ""
            raise ConfigurationError(
                f"{record.serial_number}: is {record.state}{why}",
                hint="only provisioned devices have labels: provision it first",
            )
        # what is there without a proof is of an attempt that failed, or not at its end yet
        known = str(record.facts.get("certificate_sha256") or "").lower() if record.proved else ""
        model = record.facts.get("model")
        return cls(
            record.serial_number,
            known if re.fullmatch(r"[0-9a-f]{64}", known) else None,
            model[:64] if isinstance(model, str) else "",
        )

    @property
    def payload(self) -> str:
        """What the QR code says: the serial number, and "sha256:HEX" of the certificate on a second line."""
        return self.serial_number + (f"\nsha256:{self.certificate_sha256}" if self.certificate_sha256 else "")

    def lines(self) -> list[tuple[str, str]]:
        """What stands beside the code: kind ("model", "serial", "print", "state") and text, none longer than its line."""
        model = [("model", part) for part in _pieces(self.model[:40], 20)]
        serial = [("serial", part) for part in _pieces(self.serial_number, 16)]
        digits = [("print", part) for part in _pieces(self.certificate_sha256 or "", 16)]
        return [*model, *serial, *(digits or [("state", _UNPROVED)])]


def _pieces(text: str, length: int) -> list[str]:
    return [text[place : place + length] for place in range(0, len(text), length)]
