"""MAC addresses as people and machines write them, in the one form that goes into requests."""

from __future__ import annotations

import re

from device_sdk.errors import ConfigurationError

_FORMS = re.compile(
    r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}|[0-9a-f]{2}(?:-[0-9a-f]{2}){5}|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2}|[0-9a-f]{12}",
    re.IGNORECASE,
)


def looks_like_mac(text: str) -> bool:
    """Whether the text has the form of a MAC address, whatever its value."""
    return _FORMS.fullmatch(text.strip()) is not None


def parse_mac(text: str) -> str:
    """The canonical form "00:00:92:90:ee:e2": lower case, colons (RFC 2307 section 2.4, EST-177).

    Accepts colons, hyphens, Cisco's groups of four ("0000.9290.eee2") and twelve bare digits, in either case.

    Raises:
        ConfigurationError: another form, or an address that names no single device: multicast, broadcast, all zeros.
    """
    digits = re.sub(r"[:.\-]", "", text.strip().lower())
    if not looks_like_mac(text):
        raise ConfigurationError(f"{text[:64]!r} is not a MAC address; write it as 00:00:92:90:ee:e2")
    octets = bytes.fromhex(digits)
    if not any(octets):
        raise ConfigurationError("the MAC address 00:00:00:00:00:00 names no device")
    if octets[0] & 1:
        kind = "broadcast" if octets == b"\xff" * 6 else "multicast"
        raise ConfigurationError(f"{octets.hex(':')} is a {kind} address and names no single device")
    return octets.hex(":")


def is_locally_administered(mac: str) -> bool:
    """Whether a canonical address was made up locally instead of assigned by a manufacturer (IEEE 802, U/L bit)."""
    return bool(int(mac[:2], 16) & 2)
