"""The ledger of a station: what happened to which device, append-only, chained by hashes, shared by several stations if need be."""

from __future__ import annotations

from device_sdk.errors import MissingDependencyError

try:
    import sqlalchemy  # noqa: F401  # told here once, for all modules below
except ModuleNotFoundError as error:
    raise MissingDependencyError(
        f"the ledger needs an optional part of the SDK that is not installed ({error.name})",
        hint="pip install 'device-sdk[station]'",
        extra="station",
    ) from error

from device_sdk.station.ledger.claims import Claim
from device_sdk.station.ledger.content import is_secret_name
from device_sdk.station.ledger.copying import Copied, copy_ledger
from device_sdk.station.ledger.devices import DeviceRecord
from device_sdk.station.ledger.entry import KINDS, UNPROVED, Entry, Head
from device_sdk.station.ledger.ledger import Ledger
from device_sdk.station.ledger.reader import LedgerReader
from device_sdk.station.ledger.verify import Verdict, parse_head

__all__ = [
    "KINDS",
    "UNPROVED",
    "Claim",
    "Copied",
    "DeviceRecord",
    "Entry",
    "Head",
    "Ledger",
    "LedgerReader",
    "Verdict",
    "copy_ledger",
    "is_secret_name",
    "parse_head",
]
