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
    """

    baud: int = 115200
    parity: Literal["none", "even", "odd"] = "none"
    flow: Literal["none", "rtscts", "xonxoff"] = "none"
    dtr: bool | None = None
    rts: bool | None = None
