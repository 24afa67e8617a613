"""No two devices have one MAC address or one key, and no device has two keys, unless it is provisioned anew on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from device_sdk.station.ledger import schema

MACS, KEY = "macs", "public_key_sha256"
"""The facts by which a device is told from others: a list of MAC addresses; 64 hex digits over its SubjectPublicKeyInfo."""

_IDENTITIES = schema.identities.c
_MAX_MACS = 64


@dataclass(frozen=True)
class Conflict:
    """What cannot be.

    Attributes:
        reason: in words.
        facts: what the entry about it says.
    """

    reason: str
    facts: dict[str, object]


def conflict(connection: Connection, device: str, facts: Mapping[str, object], *, again: bool) -> Conflict | None:
    """What the ledger knows that contradicts these facts of a device.

    Args:
        connection: a transaction.
        device: serial number.
        facts: of the entry; MACS and KEY are looked at.
        again: the device is provisioned anew on purpose: another key, or an address of another device, is meant.
    """
    for kind, value in named(facts):
        owner = _owner(connection, kind, value)
        if owner not in (None, device) and not (again and kind == "mac"):
            what = f"MAC address {value}" if kind == "mac" else f"public key {value[:16]}..."
            return Conflict(f"{what} is that of device {owner} already", {kind: value, "other_device": owner})
        if kind == "key" and not again:
            query = select(_IDENTITIES.value).where(_IDENTITIES.device == device, _IDENTITIES.kind == "key")
            known = connection.execute(query).scalars().first()
            if known not in (None, value):
                return Conflict(
                    f"it had another public key before: {known[:16]}...", {"key": value, "key_before": known}
                )
    return None


def remember(connection: Connection, device: str, facts: Mapping[str, object], entry: int) -> None:
    """Note whose these are from now on; of the device's keys only the last one counts."""
    for kind, value in named(facts):
        if _owner(connection, kind, value) == device:
            continue
        stale = (
            (_IDENTITIES.device == device) & (_IDENTITIES.kind == "key")
            if kind == "key"
            else _IDENTITIES.value == value
        )
        connection.execute(delete(schema.identities).where(_IDENTITIES.kind == kind, stale))
        connection.execute(insert(schema.identities).values(kind=kind, value=value, device=device, entry=entry))


def _owner(connection: Connection, kind: str, value: str) -> str | None:
    query = select(_IDENTITIES.device).where(_IDENTITIES.kind == kind, _IDENTITIES.value == value)
    return connection.execute(query).scalar_one_or_none()


def named(facts: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """What in these facts tells a device from others: "mac" or "key", and its value; what is malformed is left out."""
    macs = facts.get(MACS)
    for mac in macs[:_MAX_MACS] if isinstance(macs, list | tuple) else ():
        if isinstance(mac, str) and re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac.lower()):
            yield "mac", mac.lower()
    key = facts.get(KEY)
    if isinstance(key, str) and re.fullmatch(r"[0-9a-f]{64}", key.lower()):
        yield "key", key.lower()
