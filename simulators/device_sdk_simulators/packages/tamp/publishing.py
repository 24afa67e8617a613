"""A message is given a number, signed and put on the shelf, in one step (RFC 5934 section 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyasn1.codec.der.encoder import encode

from device_sdk_simulators.database import Database
from device_sdk_simulators.packages.shelf import Shelf
from device_sdk_simulators.packages.signing import PLAIN, Oddities
from device_sdk_simulators.packages.tamp.authority import Signer
from device_sdk_simulators.packages.tamp.book import LARGEST, OPERATION, Sent, TampBook
from device_sdk_simulators.packages.tamp.kinds import Kind
from device_sdk_simulators.packages.tamp.making import make_message
from device_sdk_simulators.packages.tamp.targets import reference, text_of
from device_sdk_simulators.softhsm import SimulatorError


@dataclass(frozen=True)
class Draft:
    """A message without its number.

    Attributes:
        kind: of message.
        build: DER of it, from its TAMPMsgRef.
        target: for whom it is.
        updates: how many statuses an answer has; 0 for a query.
        brings: name of a new apex.
        numbers: key identifiers, and the last number that devices take as used from now on.
    """

    kind: Kind
    build: Callable[[Any], bytes]
    target: Any
    updates: int = 1
    brings: str = ""
    numbers: tuple[tuple[bytes, int], ...] = ()


@dataclass(frozen=True)
class Delivery:
    """To whom a message goes.

    Attributes:
        address: see `addresses`.
        label: for which label.
        now: the present.
    """

    address: str
    label: str
    now: datetime


def publish(
    database: Database,
    draft: Draft,
    signer: Signer,
    delivery: Delivery,
    *,
    number: int | None = None,
    signed: bool = True,
    odd: Oddities = PLAIN,
    content_type: str = "",
) -> tuple[str, int]:
    """Put a message on the shelf; its item name and its number.

    Args:
        database: the server's.
        draft: the message.
        signer: who signs.
        delivery: for whom.
        number: a number of its own, one that was used included; None for the next one, and for a contingency key 0.
        signed: whether it is signed at all.
        odd: what is wrong with it.
        content_type: what it says it is, if that is something else.

    Raises:
        SimulatorError: the signer has no number left.
    """
    book, shelf = TampBook(database), Shelf(database)
    with database.transaction():
        chosen = _number(book, draft, signer) if number is None else number
        ref = reference(draft.target, chosen)
        kind = content_type or draft.kind.content_type
        message = make_message(draft.build(ref), kind, signer if signed else None, odd=odd)
        item = shelf.publish(
            OPERATION,
            draft.kind.entry,
            message,
            media_type=draft.kind.media,
            address=delivery.address,
            label=delivery.label,
            now=delivery.now,
        )
        about = f"{draft.kind.name} {chosen} by {signer.name} for {text_of(draft.target)}"
        sent = Sent(
            item,
            delivery.address,
            kind,
            bytes(encode(ref)),
            signer.name,
            chosen,
            draft.updates,
            about,
            draft.brings,
        )
        book.note_message(sent, signer.key_identifier)
        for key, last in draft.numbers:
            book.use_up(key, last)
    return item, chosen


def _number(book: TampBook, draft: Draft, signer: Signer) -> int:
    if signer.is_contingency:
        return 0
    number = book.next_number(signer.key_identifier)
    # signers count for themselves, and answers do not say whose message they are about
    while book.is_used(bytes(encode(reference(draft.target, number)))):
        number += 1
    if number > LARGEST:
        raise SimulatorError("this signer has no sequence number left (RFC 5934 section 6): it needs another key")
    return number
