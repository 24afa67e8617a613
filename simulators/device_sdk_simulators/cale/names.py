"""Which names an owner may have: those that go through header fields and certificates and come out as they went in."""

from __future__ import annotations

import unicodedata

LONGEST = 64
"""Bytes of UTF-8 in a common name (RFC 5280 appendix A.1, counted as the strictest readers do)."""


def fits_certificate(name: str) -> bool:
    """Whether a name can be the common name of a certificate."""
    try:
        return 1 <= len(name.encode()) <= LONGEST
    except UnicodeEncodeError:
        return False


def why_refused(name: str) -> str | None:
    """Why nobody may have this name; None for one that is fine.

    What looks or is written like another name after trimming, normalising or hiding is refused and never made to fit: made
    to fit, two people would be one.
    """
    if not fits_certificate(name):
        return f"a name has 1 to {LONGEST} bytes of UTF-8, and makes no common name otherwise"
    if name != name.strip() or not name.isprintable():
        return "a name has no space at its ends, and no character that cannot be seen"
    if not unicodedata.is_normalized("NFC", name):
        return "a name is in Unicode's normal form C"
    return None
