"""Refusing what would cost a reader more than it is worth, in one pass and before anything converts a value.

asn1crypto turns an OBJECT IDENTIFIER into arcs by shifting one ever longer number: quadratic time, which with a mebibyte are
minutes, and no timeout of a connection ends them. It reads elements only as they are asked for, so that what no reader
looks at is not checked by it either; here every element is.
"""

from __future__ import annotations

from device_sdk.errors import WireError

ASN1CRYPTO_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
)
"""What asn1crypto raises at bytes that are not what it expects.

IndexError comes from an empty BIT STRING, AttributeError from the universal types it has names but no values for (REAL,
ObjectDescriptor, EXTERNAL), as members that a SEQUENCE should not have.
"""

MAX_OID_BYTES = 128
MAX_NUMBER_BYTES = 4096
MAX_DEPTH = 64
MAX_ELEMENTS = 100_000

_CONSTRUCTED = 0x20
_LONG_TAG = 0x1F
_INDEFINITE = 0x80
_END_OF_CONTENTS = b"\0\0"
# INTEGER, OBJECT IDENTIFIER, ENUMERATED, RELATIVE-OID
_LIMITS = {0x02: MAX_NUMBER_BYTES, 0x06: MAX_OID_BYTES, 0x0A: MAX_NUMBER_BYTES, 0x0D: MAX_OID_BYTES}


def require_modest(data: bytes, what: str) -> None:
    """Make sure that every element, at any depth, is inside its parent and short enough to be converted (EST-110).

    Args:
        data: any number of BER elements; indefinite lengths are followed to their end-of-contents.
        what: the name of the whole, for messages.

    Raises:
        WireError: an identifier or a number longer than its limit, more than MAX_DEPTH levels or MAX_ELEMENTS elements,
            a tag number above 30, or a length that does not fit its parent.
    """
    # where each open element ends, None for an indefinite length; and how far anything inside may reach
    stack: list[tuple[int | None, int]] = [(len(data), len(data))]
    at = elements = 0
    while stack:
        end, limit = stack[-1]
        if at == end:
            stack.pop()
        elif end is None and data[at : at + 2] == _END_OF_CONTENTS and at + 2 <= limit:
            stack.pop()
            at += 2
        else:
            elements += 1
            start, stop = _header(data, at, limit, what)
            if elements > MAX_ELEMENTS or len(stack) > MAX_DEPTH:
                raise WireError(f"{what} has too many elements, or they are nested too deeply", what=what)
            if not data[at] & _CONSTRUCTED and stop is not None:
                _check_length(data[at], stop - start, what)
                at = stop
            else:
                stack.append((stop, limit if stop is None else stop))
                at = start


def _check_length(tag: int, length: int, what: str) -> None:
    most = _LIMITS.get(tag)
    if most is not None and length > most:
        raise WireError(f"{what} has an identifier or a number of {length} bytes, the limit is {most}", what=what)


def _header(data: bytes, at: int, limit: int, what: str) -> tuple[int, int | None]:
    """Where the contents begin and end, within `limit`; no end for an indefinite length."""
    if at + 2 > limit or data[at] & _LONG_TAG == _LONG_TAG:
        raise WireError(f"{what} is not BER: there is no element where there should be one", what=what)
    first = data[at + 1]
    start = at + 2 + (first & 0x7F if first > _INDEFINITE else 0)
    if first == _INDEFINITE:
        if not data[at] & _CONSTRUCTED:
            raise WireError(f"{what} has a primitive element of indefinite length", what=what)
        return start, None
    length = first if first < _INDEFINITE else int.from_bytes(data[at + 2 : start], "big")
    if first > 0x84 or start + length > limit:
        raise WireError(f"{what} has an element that is longer than its parent", what=what)
    return start, start + length
