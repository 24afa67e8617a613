"""Where a request goes: operation, label and the CA behind it."""

from __future__ import annotations

from dataclasses import dataclass

from device_sdk_simulators.est.site import Site


@dataclass(frozen=True)
class Route:
    """The parsed path of a request.

    Attributes:
        operation: last segment, lower case ("simpleenroll").
        label: the CA label, or "".
        site: the CA behind the label.
        item: what comes after the operation: which package (RFC 8295), or "".
    """

    operation: str
    label: str
    site: Site
    item: str = ""

    @property
    def place(self) -> str:
        """The operation, or what comes back for it: "tamp", "tamp/return"."""
        return f"{self.operation}/return" if self.item == "return" else self.operation
