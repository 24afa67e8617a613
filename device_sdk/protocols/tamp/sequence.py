"""Sequence numbers: no message twice, none that is older than one that was done (RFC 5934 section 6; T-07)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from device_sdk.protocols.tamp.signers import TampSigner
from device_sdk.protocols.tamp.store import MAX_DELEGATES, MAX_SPENT, AnchorStore, Role, digest
from device_sdk.wire.tamp.codes import TampStatus, refused
from device_sdk.wire.tamp.reference import SequenceNumber


def require_next(number: int, signer: TampSigner, store: AnchorStore, *, equal: bool = False) -> None:
    """Make sure that a message is newer than what its signer had done here.

    Whoever signs by way of a certificate is held to the same, which the RFC leaves open.

    Args:
        number: of the message.
        signer: whose.
        store: what is known of him.
        equal: the number of the last one will do, too (section 4.9).

    Raises:
        TampRefusedError: it is not.
    """
    if signer.contingency:
        if number:
            raise refused(TampStatus.SEQ_NUM_FAILURE, f"signed with the contingency key, it has number {number}, not 0")
        _require_unspent(signer, store)
        return
    last = store.delegates.get(digest(signer.key)) if signer.path else signer.anchor.number
    if last is not None and (number < last or (number == last and not equal)):
        raise refused(
            TampStatus.SEQ_NUM_FAILURE,
            f"it has number {number}, and number {last} of the same signer was done: it was replayed, or came late",
        )
    if signer.path and last is None and len(store.delegates) >= MAX_DELEGATES:
        raise refused(TampStatus.INSUFFICIENT_MEMORY, "there is no room for the number of one signer more")


def _require_unspent(signer: TampSigner, store: AnchorStore) -> None:
    """A contingency key signs once: as its messages have no numbers, an old one would be good as often as the key is there.

    Raises:
        TampRefusedError: it has.
    """
    if digest(signer.key) in store.spent:
        raise refused(
            TampStatus.SEQ_NUM_FAILURE, "the contingency key that signed it signed a message before: it was replayed"
        )
    if len(store.spent) >= MAX_SPENT:
        raise refused(TampStatus.INSUFFICIENT_MEMORY, "there is no room to remember one contingency key more")


def with_number(store: AnchorStore, signer: TampSigner, number: int) -> AnchorStore:
    """The store with the number of a message that was done, as far as its signer is still there."""
    if signer.contingency:
        return store
    if signer.path:
        return replace(store, delegates={**store.delegates, digest(signer.key): number})
    held = store.find(signer.anchor.identity)
    if held is None or held.role is Role.IDENTITY:
        return store
    return store.with_anchor(replace(held, number=max(number, held.number or 0)))


def with_given(store: AnchorStore, numbers: Iterable[SequenceNumber], touched: Collection[bytes]) -> AnchorStore:
    """The store with the numbers that a message gives for anchors it added or changed; they only ever rise (section 4.3).

    Args:
        store: after the updates.
        numbers: by key identifier.
        touched: keys of the anchors that were added or changed.
    """
    for given in numbers:
        for held in store.anchors:
            if held.identity in touched and held.anchor.key_id == given.key_id and given.number > (held.number or 0):
                store = store.with_anchor(replace(held, number=given.number))
    return store
