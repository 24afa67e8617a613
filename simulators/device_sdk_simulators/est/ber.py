"""Indefinite and long-winded lengths made definite and short, so that a DER reader can go on (EST-40).

What was signed is DER (X.690 section 11), whatever it looked like on the way; so this is tried only when the bytes as they
came cannot be read.
"""

from __future__ import annotations

_DEEPEST = 32
_CONSTRUCTED = 0x20
# universal types that are primitive in DER: BIT STRING, OCTET STRING and the strings of characters
_STRINGS = {3, 4, 12, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 30}


def to_der(data: bytes) -> bytes:
    """One object in BER with definite lengths and without parts of strings; ValueError if that is not what it is."""
    der, end = _element(data, 0, 0)
    if end != len(data):
        raise ValueError("there are bytes after the end of the object")
    return der


def _element(data: bytes, start: int, depth: int) -> tuple[bytes, int]:
    """The element at a place, and the place after it."""
    if depth > _DEEPEST:
        raise ValueError("the object is nested too deeply")
    tag, position = _tag(data, start)
    length, position = _length(data, position)
    if not tag[0] & _CONSTRUCTED:
        if length is None:
            raise ValueError("indefinite length of something that has no parts")
        return tag + encode_length(length) + _slice(data, position, length), position + length
    parts, end = _parts(data, position, length, depth)
    if tag[0] & 0xC0 == 0 and tag[0] & 0x1F in _STRINGS:
        return _joined(tag[0] & 0x1F, parts), end
    content = b"".join(parts)
    return tag + encode_length(len(content)) + content, end


def _parts(data: bytes, position: int, length: int | None, depth: int) -> tuple[list[bytes], int]:
    end = None if length is None else position + len(_slice(data, position, length))
    parts: list[bytes] = []
    within = data if end is None else data[:end]
    while position != end:
        if end is None and data[position : position + 2] == b"\0\0":
            return parts, position + 2
        part, position = _element(within, position, depth + 1)
        parts.append(part)
    return parts, position


def _joined(number: int, parts: list[bytes]) -> bytes:
    """A string that came in parts; of a BIT STRING each part has a count of unused bits, which only the last may use."""
    contents = [part[_length(part, 1)[1] :] for part in parts]
    # X.690 section 8.23: strings of characters are cut up as octet strings are
    if any(part[0] not in ({3} if number == 3 else {number, 4}) for part in parts):
        raise ValueError("a string has parts that are none")
    if number == 3:
        if not contents or any(not one for one in contents) or any(one[0] for one in contents[:-1]):
            raise ValueError("a bit string has parts that do not fit together")
        content = contents[-1][:1] + b"".join(one[1:] for one in contents)
    else:
        content = b"".join(contents)
    return bytes([number]) + encode_length(len(content)) + content


def _tag(data: bytes, position: int) -> tuple[bytes, int]:
    tag = _slice(data, position, 1)
    if tag[0] & 0x1F == 0x1F:
        raise ValueError("a tag number above 30 has no place in a request")
    return tag, position + 1


def _length(data: bytes, position: int) -> tuple[int | None, int]:
    first = _slice(data, position, 1)[0]
    if first < 0x80:
        return first, position + 1
    if first == 0x80:
        return None, position + 1
    count = first & 0x7F
    return int.from_bytes(_slice(data, position + 1, count)), position + 1 + count


def _slice(data: bytes, position: int, length: int) -> bytes:
    if length > len(data) - position:
        raise ValueError("the object ends too early")
    return data[position : position + length]


def encode_length(length: int) -> bytes:
    """The length octets of DER."""
    if length < 0x80:
        return bytes([length])
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([0x80 | len(octets)]) + octets
