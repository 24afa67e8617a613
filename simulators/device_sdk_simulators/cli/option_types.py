"""What the options of the server accept, as far as their text tells; files are read later (option_files)."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from device_sdk_simulators.faults import Faults, UnknownFaultError

_LONGEST_S = 10**9


KEY_TYPES = ("ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072", "rsa-4096")
"""Of keys this server makes."""


def whole_number(lowest: int, highest: int) -> Callable[[str], int]:
    """A type for whole numbers from `lowest` to `highest`."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not lowest <= int(text[:20]) <= highest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {lowest} to {highest}")
        return int(text)

    return read


port = whole_number(0, 65535)
duration = whole_number(1, _LONGEST_S)
delay = whole_number(0, _LONGEST_S)


def offset(text: str) -> float:
    """Seconds, forwards or backwards, by up to thirty years."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    # not a number is neither smaller nor larger
    if not -_LONGEST_S <= seconds <= _LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from -{_LONGEST_S} to {_LONGEST_S}")
    return seconds


def user(text: str) -> str:
    """A user name (RFC 7617 section 2: no colon, no control characters); empty is one, too (EST-85)."""
    if ":" in text or not text.isprintable():
        raise argparse.ArgumentTypeError("a user name has no colon and no control characters (RFC 7617)")
    return text


def choices(*allowed: str) -> Callable[[str], tuple[str, ...]]:
    """A type for words of a set with commas between them, in any letter case, each once."""

    def read(text: str) -> tuple[str, ...]:
        known = {word.lower(): word for word in allowed}
        words = [known.get(word.strip().lower()) for word in text.split(",")]
        found = tuple(word for word in words if word is not None)
        if len(found) != len(words) or len(set(found)) != len(found):
            raise argparse.ArgumentTypeError(f"{text!r} is not one or more of {','.join(allowed)}")
        return found

    return read


def document(text: str) -> tuple[str, Path]:
    """PATH=FILE."""
    path, equals, file = text.partition("=")
    if not equals or not path.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text!r} is not PATH=FILE with a path that begins with /")
    return path, Path(file)


def host(text: str) -> str:
    """A DNS name in ASCII, or an address; IPv6 with or without brackets."""
    from cryptography import x509

    try:
        x509.DNSName(text)
    except ValueError:
        text = ""
    if not text or any(not 32 < ord(char) < 127 for char in text):
        raise argparse.ArgumentTypeError("that is neither a DNS name in ASCII nor an address")
    return text.removeprefix("[").removesuffix("]")


def object_identifier(text: str) -> str:
    """Numbers with dots."""
    from cryptography import x509

    try:
        return x509.ObjectIdentifier(text).dotted_string
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an object identifier in numbers") from error


def label(text: str) -> str:
    """A CA label (EST-07)."""
    from device_sdk_simulators.policy import LabelError, check_label

    try:
        check_label(text)
    except LabelError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def fault(text: str) -> str:
    """NAME[=VALUE][*TIMES][@OPERATION]."""
    try:
        Faults().parse(text)
    except UnknownFaultError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
