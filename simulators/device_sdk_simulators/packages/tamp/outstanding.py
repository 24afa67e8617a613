"""Messages that a client still has to answer, for its package list (RFC 8295 section 2.1.1: 0028 to 0037)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.packages.addresses import addresses_of
from device_sdk_simulators.packages.pal_forms import Entry
from device_sdk_simulators.packages.shelf import Package
from device_sdk_simulators.packages.tamp.book import OPERATION, TampBook

RETURN = "return"


def open_messages(client: Client, published: Sequence[Package], book: TampBook) -> list[Package]:
    """Those it said nothing of, oldest first."""
    own = addresses_of(client)[1:2]
    answered = book.answered(own[0]) if own else set()
    return [one for one in published if one.operation == OPERATION and one.item not in answered]


def wanted(messages: Sequence[Package], seen: Collection[str], base: str) -> list[Entry]:
    """Entries that ask for answers to what was fetched: one of each kind, of size 0 (P-09)."""
    kinds = dict.fromkeys(f"{int(one.type) + 1:04}" for one in messages if one.place in seen)
    return [Entry(kind, 0, f"{base}/{OPERATION}/{RETURN}") for kind in kinds]
