"""SASLprep (RFC 4013) for user names and passwords, as stored strings (RFC 3454 section 7: no unassigned code points)."""

from __future__ import annotations

import stringprep as tables
from unicodedata import ucd_3_2_0


def saslprep(text: str) -> str:
    """The prepared text; ValueError for what RFC 4013 prohibits."""
    # section 2.1: other spaces become a space, some characters nothing
    text = "".join(
        " " if tables.in_table_c12(c) else c for c in text if tables.in_table_c12(c) or not tables.in_table_b1(c)
    )
    # section 2.2
    text = ucd_3_2_0.normalize("NFKC", text)
    for char in text:
        if _is_prohibited(char) or tables.in_table_a1(char):
            raise ValueError(f"U+{ord(char):04X} is prohibited (RFC 4013)")
    # section 2.4
    if any(map(tables.in_table_d1, text)):
        ends = tables.in_table_d1(text[0]) and tables.in_table_d1(text[-1])
        if not ends or any(map(tables.in_table_d2, text)):
            raise ValueError("text of both writing directions (RFC 3454 section 6)")
    return text


def _is_prohibited(char: str) -> bool:
    """RFC 4013 section 2.3."""
    return (
        tables.in_table_c12(char)
        or tables.in_table_c21_c22(char)
        or tables.in_table_c3(char)
        or tables.in_table_c4(char)
        or tables.in_table_c5(char)
        or tables.in_table_c6(char)
        or tables.in_table_c7(char)
        or tables.in_table_c8(char)
        or tables.in_table_c9(char)
    )
