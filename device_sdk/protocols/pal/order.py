"""From entries to steps: what the client knows and may do, in the order it is done (RFC 8295 section 2.3; P-14 to P-20)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from device_sdk.errors import RemoteProtocolError
from device_sdk.protocols.est.urls import EstEndpoint
from device_sdk.protocols.pal.places import target_of
from device_sdk.protocols.pal.types import PACKAGE_TYPES, Action, PackageType
from device_sdk.wire.pal import PalEntry

_RESERVED = "0000"
_PLACES = {Action.PICK_UP: 0, Action.RETURN: 2}
"""Within a tier; everything else is between."""


@dataclass(frozen=True)
class SyncStep:
    """One thing to do.

    Attributes:
        kind: what it is.
        entry: what the server said.
        target: the request target its URI gave, checked.
    """

    kind: PackageType
    entry: PalEntry
    target: str


@dataclass(frozen=True)
class SyncPlan:
    """What a list asks for.

    Attributes:
        steps: in the order they are done.
        skipped: entries that are not followed, and why.
    """

    steps: tuple[SyncStep, ...]
    skipped: tuple[tuple[PalEntry, str], ...] = ()


def plan_of(entries: Iterable[PalEntry], endpoint: EstEndpoint) -> SyncPlan:
    """Sort the entries of a list, all its parts together.

    The order of the server stays within a tier, but for results: what was asked for before is not asked for again while it
    waits to be fetched. What cannot be followed stops nothing else.

    Args:
        entries: without those that lead to further lists.
        endpoint: the service they came from.
    """
    steps, skipped = [], []
    for entry in entries:
        try:
            steps.append(_step(entry, endpoint))
        except RemoteProtocolError as error:
            skipped.append((entry, error.message))
    steps.sort(key=lambda step: (step.kind.tier, _PLACES.get(step.kind.action, 1)))
    return SyncPlan(tuple(steps), tuple(skipped))


def _step(entry: PalEntry, endpoint: EstEndpoint) -> SyncStep:
    kind = PACKAGE_TYPES.get(entry.type)
    if kind is None:
        reserved = "reserved" if entry.type == _RESERVED else "not known to this version"
        raise RemoteProtocolError(f"package type {entry.type} is {reserved}")
    if entry.uri is not None:
        return SyncStep(kind, entry, target_of(entry.uri, kind, endpoint))
    if kind.action not in (Action.REENROL, Action.ENROL):
        raise RemoteProtocolError(f"an entry of type {kind.number} ({kind.meaning}) without a URI")
    # AMB-11: the entry names the certificate, so the place is the usual one
    return SyncStep(kind, entry, endpoint.target(kind.operations[0]))
