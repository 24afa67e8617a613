"""Labels as pictures and sheets. Whatever a device is called, it is text there and nothing else."""

from __future__ import annotations

import io
from collections.abc import Iterable
from html import escape
from typing import Any

from device_sdk.errors import MissingDependencyError
from device_sdk.station.labels.label import Label

WIDTH_MM, HEIGHT_MM = 62.0, 29.0
"""Of a label: what desktop label printers have on a roll."""

_QUIET = 4  # modules of white around the code, ISO/IEC 18004
_SIZES = {"model": 2.6, "serial": 3.2, "print": 2.4, "state": 3.2}  # mm
_STYLE = """
@page { size: A4; margin: 10mm }
body { margin: 0; font: 10pt "DejaVu Sans", sans-serif }
ul { display: grid; grid-template-columns: repeat(3, 62mm); gap: 2mm; margin: 0; padding: 0; list-style: none }
li { width: 62mm; height: 29mm; outline: 0.1mm dashed #999; break-inside: avoid }
"""


def svg(label: Label) -> str:
    """A label as SVG, in millimetres."""
    side = HEIGHT_MM
    text, y = [], 3.0
    for kind, words in label.lines():
        size = _SIZES[kind]
        y += size * 1.2
        text.append(f'<text x="{side + 1:g}" y="{y:.2f}" font-size="{size:g}">{_safe(words)}</text>')
    height = max(HEIGHT_MM, y + 2)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_MM:g}mm" height="{HEIGHT_MM:g}mm" '
        f'viewBox="0 0 {WIDTH_MM:g} {height:g}" role="img" aria-label="{_safe(label.serial_number)}">'
        f'<rect width="100%" height="100%" fill="#fff"/>{_code(label, side)}'
        f'<g font-family="DejaVu Sans Mono, monospace" fill="#000">{"".join(text)}</g></svg>\n'
    )


def html(labels: Iterable[Label]) -> str:
    """Labels on a page to be printed: three a row on A4."""
    items = "".join(f"<li>{svg(label)}</li>" for label in labels)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Labels</title>'
        f"<style>{_STYLE}</style></head><body><ul>{items}</ul></body></html>\n"
    )


def png(label: Label) -> bytes:
    """The QR code alone, as PNG, ten pixels a module."""
    stream = io.BytesIO()
    _qr(label).save(stream, kind="png", scale=10, border=_QUIET)
    return stream.getvalue()


def _code(label: Label, side: float) -> str:
    matrix = _qr(label).matrix
    modules = len(matrix) + 2 * _QUIET
    path = "".join(
        f"M{x + _QUIET} {y + _QUIET}h1v1h-1z" for y, row in enumerate(matrix) for x, dark in enumerate(row) if dark
    )
    return (
        f'<svg width="{side:g}" height="{side:g}" viewBox="0 0 {modules} {modules}" shape-rendering="crispEdges">'
        f'<path d="{path}"/></svg>'
    )


def _qr(label: Label) -> Any:
    try:
        import segno
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "labels need an optional part of the SDK that is not installed (segno)",
            hint="pip install 'device-sdk[station]'",
            extra="station",
        ) from error
    text = label.payload
    # beyond ASCII scanners guess what the bytes are, unless the code says that they are UTF-8
    return segno.make(text, error="m", micro=False, boost_error=False, encoding="utf-8", eci=not text.isascii())


def _safe(text: str) -> str:
    """Escaped, for elements and attributes of XML and HTML; without what XML cannot have."""
    return escape("".join(char if char.isprintable() else "?" for char in text), quote=True)
