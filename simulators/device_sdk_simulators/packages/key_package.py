"""A SymmetricKeyPackage out of what a person writes: identifiers, algorithms and values (RFC 6031)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyasn1.codec.der.encoder import encode
from pyasn1.type import char, useful
from pyasn1_alt_modules import rfc6031

from device_sdk_simulators.softhsm import SimulatorError

_TEXTS = {
    "id": rfc6031.id_pskc_keyId,
    "algorithm": rfc6031.id_pskc_algorithm,
    "issuer": rfc6031.id_pskc_issuer,
    "device_binding": rfc6031.id_pskc_deviceBinding,
}
_TIMES = {"not_before": rfc6031.id_pskc_keyStartDate, "not_after": rfc6031.id_pskc_keyExpiryDate}
_OID = re.compile(r"[0-9.]+")
_AES = re.compile("#(?:kw-)?aes([0-9]+)(?:-|$)")
_EXAMPLE = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
_KNOWN = {*_TEXTS, *_TIMES, "value", "name", "usages"}


@dataclass(frozen=True)
class WrittenKey:
    """One key.

    Attributes:
        attributes: by the names of a person's file.
        value: the key.
    """

    attributes: Mapping[str, Any]
    value: bytes = field(repr=False)


def keys_from(content: bytes, source: str) -> list[WrittenKey]:
    """Read a JSON array of objects.

    Each has `id`, `algorithm` and `value` (hex), and perhaps `name`, `usages`, `issuer`, `device_binding`, `not_before` and
    `not_after` (YYYYMMDDhhmmssZ).

    Raises:
        SimulatorError: it is none; the message has no value of a key in it.
    """
    try:
        listed = json.loads(content)
        keys = [
            WrittenKey({k: v for k, v in one.items() if k != "value"}, bytes.fromhex(one["value"])) for one in listed
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        keys = []
    if not keys or any(not key.value or not {"id", "algorithm"} <= key.attributes.keys() for key in keys):
        raise SimulatorError(f"{source}: not a JSON array of objects with id, algorithm and value (hex)")
    if any(_OID.fullmatch(str(key.attributes["algorithm"])) for key in keys):
        raise SimulatorError(f"{source}: algorithms have the URIs of RFC 6030, not object identifiers: {_EXAMPLE}")
    for key in keys:
        bits = _AES.search(str(key.attributes["algorithm"]))
        if bits and int(bits[1]) != 8 * len(key.value):
            raise SimulatorError(
                f"{source}: {key.attributes['id']}: the value has {8 * len(key.value)} bits, the algorithm {bits[1]}"
            )
    unknown = {name for key in keys for name in key.attributes} - _KNOWN
    if unknown:
        raise SimulatorError(f"{source}: unknown names: {', '.join(sorted(unknown))}")
    return keys


def symmetric_key_package(keys: Sequence[WrittenKey]) -> bytes:
    """DER."""
    package = rfc6031.SymmetricKeyPackage()
    for position, key in enumerate(keys):
        one = package["sKeys"][position]
        for number, (oid, value) in enumerate(_attributes(key.attributes)):
            one["sKeyAttrs"][number]["attrType"] = oid
            one["sKeyAttrs"][number]["attrValues"][0] = encode(value)
        one["sKey"] = key.value
    written: bytes = encode(package)
    return written


def _attributes(written: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = [
        (oid, char.UTF8String(written[name])) for name, oid in _TEXTS.items() if name in written
    ]
    found += [(oid, useful.GeneralizedTime(written[name])) for name, oid in _TIMES.items() if name in written]
    if "name" in written:
        friendly = rfc6031.FriendlyName()
        friendly["friendlyName"] = written["name"]
        found.append((rfc6031.id_pskc_friendlyName, friendly))
    if "usages" in written:
        usages = rfc6031.PSKCKeyUsages()
        usages.extend(written["usages"])
        found.append((rfc6031.id_pskc_keyUsages, usages))
    return found
