"""One message: read, checked, done as far as it may be, and answered (RFC 5934 section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from device_sdk.errors import TampRefusedError
from device_sdk.protocols.tamp.authority import require_authority
from device_sdk.protocols.tamp.sequence import require_next, with_number
from device_sdk.protocols.tamp.signers import TampSigner, Trusting, find_signer
from device_sdk.protocols.tamp.store import MAX_COMMUNITIES, AnchorStore, HeldAnchor, Role, digest
from device_sdk.protocols.tamp.targets import require_target
from device_sdk.protocols.tamp.updates import apply_updates, require_memory, require_room, require_storable
from device_sdk.wire.ber import contents_of
from device_sdk.wire.tamp import oids
from device_sdk.wire.tamp.adjust import SequenceAdjust, SequenceAdjustConfirm
from device_sdk.wire.tamp.answers import StoreContents
from device_sdk.wire.tamp.apex import ApexUpdate, ApexUpdateConfirm, ContingencyKey, read_contingency_key
from device_sdk.wire.tamp.codes import TampStatus, refused, refusing
from device_sdk.wire.tamp.community import CommunityConfirm, CommunityUpdate
from device_sdk.wire.tamp.contents import TampRequest
from device_sdk.wire.tamp.envelope import Seen, read_signed_request
from device_sdk.wire.tamp.error import TampError
from device_sdk.wire.tamp.extensions import identity_of
from device_sdk.wire.tamp.query import StatusQuery, StatusResponse
from device_sdk.wire.tamp.update import Update, UpdateConfirm

MAX_ANSWER_BYTES = 400 * 1024
"""What is longer in words is said in short: the outbox takes no more."""


@dataclass(frozen=True)
class Processed:
    """A message that was believed.

    Attributes:
        store: as it is to be from now on; keep it in one step, number and all.
        request: the message.
        signer: whose it is.
        answer: DER of the answer.
        answer_type: its content type, dotted.
        results: why a part of it was not done, or None; one for each update, one for any other message.
    """

    store: AnchorStore
    request: TampRequest
    signer: TampSigner
    answer: bytes = field(repr=False)
    answer_type: str
    results: tuple[TampRefusedError | None, ...] = (None,)

    @property
    def statuses(self) -> tuple[TampStatus, ...]:
        """As the answer has them."""
        return _statuses(self.results)


def process(body: bytes, store: AnchorStore, trusting: Trusting, seen: Seen) -> Processed:
    """Do what a message asks for.

    Args:
        body: DER of a ContentInfo, or base64 of it; the media type it came with does not count (AMB-05, G-08).
        store: as it is, with the Explicit trust anchors (AnchorStore.with_explicit).
        trusting: what else is known.
        seen: filled on the way, for `refusal`.

    Raises:
        TampRefusedError: nothing of it is done; `refusal` makes the answer.
    """
    message = read_signed_request(body, seen)
    request = message.request
    signer = find_signer(message, store, trusting)
    require_authority(signer, message.content_type, message.signer)
    require_target(request.reference.target, store)
    adjusts = isinstance(request, SequenceAdjust)
    require_next(request.reference.number, signer, store, equal=adjusts)
    done, results = _apply(request, store, signer)
    done = replace(with_number(done, signer, request.reference.number), generation=store.generation + 1)
    answer_type, answer = _answer(request, done, results)
    return Processed(done, request, signer, answer, answer_type, results)


def refusal(error: TampRefusedError, seen: Seen) -> bytes | None:
    """DER of the TAMPError about a message that was refused; None if it is not even known what kind of message it was."""
    if seen.message_type is None:
        return None
    status = TampStatus(error.status if error.status else TampStatus.OTHER)
    return TampError(seen.message_type, status, seen.reference).encode()


def _apply(
    request: TampRequest, store: AnchorStore, signer: TampSigner
) -> tuple[AnchorStore, tuple[TampRefusedError | None, ...]]:
    if isinstance(request, Update):
        return apply_updates(request, store, signer)
    try:
        if isinstance(request, ApexUpdate):
            return _replace_apex(request, store, signer), (None,)
        if isinstance(request, CommunityUpdate):
            return _move(request, store), (None,)
    except TampRefusedError as error:
        return store, (error,)
    return store, (None,)


def _replace_apex(request: ApexUpdate, store: AnchorStore, signer: TampSigner) -> AnchorStore:
    """Section 4.5; without the others if it says so."""
    anchor = request.anchor
    require_storable(anchor)
    with refusing(TampStatus.UNSUPPORTED_TRUST_ANCHOR_FORMAT, "the contingency key of the new apex"):
        _require_used_up(read_contingency_key(anchor.effective[1]), signer)
    old = signer.anchor
    number = request.number
    if identity_of(anchor.public_key) == old.identity:
        # the same key: what was done once must not be done again
        number = max(number or 0, old.number or 0, request.reference.number)
    others = [one for one in store.anchors if one is not old]
    if request.clear_anchors:
        store = require_memory(store.without(others), store, signer)
    if signer.contingency:
        store = replace(store, spent=(*store.spent, digest(signer.key)))
    store = replace(store, anchors=tuple(one for one in store.anchors if one.role is not Role.APEX))
    if store.find(identity_of(anchor.public_key)) is not None:
        raise refused(TampStatus.IMPROPER_TA_ADDITION, "the key of the new apex is that of another anchor")
    store = require_room(store.with_anchor(HeldAnchor(anchor, Role.APEX, number)))
    return replace(store, communities=()) if request.clear_communities else store


def _require_used_up(locked: ContingencyKey | None, signer: TampSigner) -> None:
    """A contingency key signs once (see AnchorStore.spent): an apex that comes with the one that signed would have none.

    Section 4.5 has nothing against it; what section 6 is there for, that no message is taken twice, makes it a failure of
    the numbers.

    Raises:
        TampRefusedError: the new apex would have it, too.
    """
    if signer.contingency and locked is not None and locked.opened(signer.disclosed) is not None:
        raise refused(
            TampStatus.SEQ_NUM_FAILURE,
            "the new apex has a contingency key that the key disclosed with the message opens; it needs another one",
        )


def _move(request: CommunityUpdate, store: AnchorStore) -> AnchorStore:
    """Section 4.7: what is left goes before what is joined, and all of it or nothing."""
    gone = store.communities if request.remove == () else request.remove or ()
    kept = [one for one in store.communities if one not in gone]
    communities = tuple(dict.fromkeys((*kept, *(request.add or ()))))
    if len(communities) > MAX_COMMUNITIES:
        raise refused(TampStatus.COMMUNITY_UPDATE_FAILED, "there is no room for more communities")
    return replace(store, communities=communities)


def _statuses(results: Sequence[TampRefusedError | None]) -> tuple[TampStatus, ...]:
    return tuple(TampStatus.SUCCESS if one is None else TampStatus(one.status or TampStatus.OTHER) for one in results)


def _answer(request: TampRequest, store: AnchorStore, results: Sequence[TampRefusedError | None]) -> tuple[str, bytes]:
    """Content type and DER; in short if that was asked for, or if there would be nothing or too much to say."""
    contents = store.contents
    terse = isinstance(request, SequenceAdjust) or request.terse or not contents.anchors
    if not terse:
        found = _encode(request, store, contents, _statuses(results))
        if len(found[1]) <= MAX_ANSWER_BYTES:
            return found
    return _encode(request, store, None, _statuses(results))


def _encode(
    request: TampRequest, store: AnchorStore, contents: StoreContents | None, statuses: Sequence[TampStatus]
) -> tuple[str, bytes]:
    reference = request.reference
    if isinstance(request, Update):
        return oids.UPDATE_CONFIRM, UpdateConfirm(reference, statuses, contents).encode()
    if isinstance(request, ApexUpdate):
        return oids.APEX_UPDATE_CONFIRM, ApexUpdateConfirm(reference, statuses[0], contents).encode()
    if isinstance(request, CommunityUpdate):
        communities = store.communities if contents is not None else None
        return oids.COMMUNITY_UPDATE_CONFIRM, CommunityConfirm(reference, statuses[0], communities).encode()
    if isinstance(request, StatusQuery):
        return oids.STATUS_RESPONSE, _response(request, store, contents).encode()
    return oids.SEQUENCE_ADJUST_CONFIRM, SequenceAdjustConfirm(reference, statuses[0]).encode()


def _response(request: StatusQuery, store: AnchorStore, contents: StoreContents | None) -> StatusResponse:
    apex = store.apex
    if contents is None:
        key_ids = [one.anchor.key_id for one in store.anchors]
        return StatusResponse(request.reference, key_ids, apex=apex is not None, communities=store.communities)
    locked = read_contingency_key(apex.anchor.effective[1]) if apex else None
    return StatusResponse(
        request.reference,
        anchors=contents.anchors,
        apex=contents.apex,
        communities=contents.communities,
        decrypt_algorithm=contents_of(locked.algorithm) if locked else None,
        numbers=contents.numbers,
    )
