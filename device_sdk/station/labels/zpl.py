"""Labels in the language of Zebra's printers, 62 mm by 29 mm at 203 dots an inch."""

from __future__ import annotations

from device_sdk.station.labels.label import Label

_DOTS = 8  # a millimetre
_HEIGHTS = {"model": 20, "serial": 26, "print": 20, "state": 26}
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .:-/")


def zpl(label: Label) -> str:
    """A label as ZPL II. Characters that could be commands are written as their bytes."""
    y, fields = 8, []
    for kind, words in label.lines():
        height = _HEIGHTS[kind]
        fields.append(f"^FO{30 * _DOTS},{y}^A0N,{height},{height}^FH^FD{_field(words)}^FS")
        y += height + 4
    code = f"^FO16,8^BQN,2,4^FH^FDMA,{_field(label.payload)}^FS"
    return f"^XA^CI28^PW{62 * _DOTS}^LL{29 * _DOTS}{code}{''.join(fields)}^XZ\n"


def _field(text: str) -> str:
    """Field data with ^FH: what is not plain is _XX for each byte of its UTF-8."""
    return "".join(
        char if char in _PLAIN else "".join(f"_{byte:02X}" for byte in char.encode("utf-8", "replace")) for char in text
    )
