"""The package availability list (RFC 8295 section 2): which packages there are, what each asks for, and in which order."""

from __future__ import annotations

from device_sdk.protocols.pal.answer import pal_request, read_pal_answer
from device_sdk.protocols.pal.order import SyncPlan, SyncStep, plan_of
from device_sdk.protocols.pal.types import PACKAGE_TYPES, Action, PackageType
from device_sdk.protocols.pal.walk import PalWalk

__all__ = [
    "PACKAGE_TYPES",
    "Action",
    "PackageType",
    "PalWalk",
    "SyncPlan",
    "SyncStep",
    "pal_request",
    "plan_of",
    "read_pal_answer",
]
