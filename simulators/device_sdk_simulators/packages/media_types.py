"""Content-Type of a CMS message: what is around, and what is inside (RFC 7193 section 2)."""

from __future__ import annotations

from collections.abc import Sequence


def application_cms(layers: Sequence[str], inner: str) -> str:
    """Value of the header field (G-06, G-09).

    Args:
        layers: values of encapsulatingContent, outermost first; may be empty.
        inner: value of innerContent.
    """
    listed = ", ".join(layers)
    around = f'"{listed}"' if len(layers) > 1 else listed
    parameter = f"encapsulatingContent={around}; " if layers else ""
    return f"application/cms; {parameter}innerContent={inner}"
