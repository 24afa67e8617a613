"""How a line is set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LineSettings:
    """Eight data bits and one stop bit, always; `socket://` has no settings and takes no notice of them.

    Attributes:
        baud: bits a second.
        parity: none, even or odd.
        flow: flow control.
        dtr, rts: the state of these two when the line opens; None leaves it to the driver, which raises them. Some boards
            take one of them for their reset.
        at_most: octets a second that are read in the long run, whatever comes; None for any number. A first quarter of a
            MiB is read as it comes.
    """

    baud: int = 115200
    parity: Literal["none", "even", "odd"] = "none"
    flow: Literal["none", "rtscts", "xonxoff"] = "none"
    dtr: bool | None = None
    rts: bool | None = None
    at_most: float | None = None
