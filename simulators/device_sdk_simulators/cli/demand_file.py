"""The file of `device-sdk-sim server --demands`: a JSON list of what requests have to look like, read to the letter."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_sdk_simulators.cli import option_types as types
from device_sdk_simulators.cli.speaking import UsageError

if TYPE_CHECKING:
    from device_sdk_simulators.csr_demand import Demand, DemandedExtension

KEY_TYPES = ("ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072", "rsa-4096")
_MAX_BYTES = 256 * 1024


def read_demands(path: Path) -> list[Demand]:
    """A JSON list of objects with the fields of Demand; values of extensions are DER in hex.

    Raises:
        UsageError: the file cannot be read, or says something that means nothing.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES} bytes")
        entries = json.loads(text)
        if not isinstance(entries, list):
            raise ValueError("it is no list at all")
        return [_demand(_fields(entry)) for entry in entries]
    except OSError as error:
        raise UsageError(f"--demands {path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, argparse.ArgumentTypeError, RecursionError) as error:
        words = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"--demands {path} is no list of demands: {words}") from error


def _demand(entry: dict[str, Any]) -> Demand:
    from device_sdk_simulators.csr_demand import Demand

    for name in ("label", "user", "device", "key", "signature"):
        if not isinstance(entry.get(name), str | None):
            raise TypeError(f"{name} is not text")
    for name in ("mac_address", "enforce"):
        if not isinstance(entry.get(name, False), bool):
            raise TypeError(f"{name} is neither true nor false")
    if entry.get("key") not in (None, *KEY_TYPES):
        raise ValueError(f"key is none of {', '.join(KEY_TYPES)}")
    if entry.get("label"):
        types.label(entry["label"])
    if entry.get("signature") is not None:
        types.object_identifier(entry["signature"])
    extensions = tuple(_extension(_fields(one)) for one in _list(entry, "extensions"))
    subject = tuple(_part(one) for one in _list(entry, "subject"))
    attributes = tuple(_identifier(oid) for oid in _list(entry, "attributes"))
    return Demand(**entry | {"extensions": extensions, "subject": subject, "attributes": attributes})


def _extension(entry: dict[str, Any]) -> DemandedExtension:
    from device_sdk_simulators.csr_demand import DemandedExtension

    critical, value = entry.pop("critical", False), entry.pop("value", None)
    oid = _identifier(entry.pop("oid"))
    if entry:
        raise ValueError(f"an extension has no {', '.join(entry)}")
    if not isinstance(critical, bool):
        raise TypeError("critical is neither true nor false")
    return DemandedExtension(oid, critical, None if value is None else _der(value))


def _part(entry: object) -> tuple[str, str | None]:
    if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[1], str | None):
        raise ValueError("an attribute of the subject is an object identifier with a text or null")
    return _identifier(entry[0]), entry[1]


def _fields(entry: object) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise TypeError(f"{entry!r:.40} is no object with fields")
    return dict(entry)


def _list(entry: dict[str, Any], name: str) -> list[Any]:
    found = entry.get(name, [])
    if not isinstance(found, list):
        raise TypeError(f"{name} is no list")
    return found


def _identifier(oid: object) -> str:
    return types.object_identifier(str(oid))


def _der(value: object) -> bytes:
    from pyasn1.codec.der.decoder import decode
    from pyasn1.error import PyAsn1Error

    content = bytes.fromhex(str(value))
    try:
        _found, rest = decode(content)
    except PyAsn1Error:
        rest = content
    if rest or not content:
        raise ValueError(f"the value {str(value)[:40]!r} is not one of DER in hex digits")
    return content
