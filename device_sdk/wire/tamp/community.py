"""TAMPCommunityUpdate and TAMPCommunityUpdateConfirm (RFC 5934 sections 4.7 and 4.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device_sdk.wire import der
from device_sdk.wire.cms.reader import SEQUENCE
from device_sdk.wire.tamp.answers import communities_under, status
from device_sdk.wire.tamp.codes import TampStatus
from device_sdk.wire.tamp.reference import MessageReference, read_head
from device_sdk.wire.tamp.strict import opened
from device_sdk.wire.tamp.targets import read_communities

_REMOVE, _ADD = 0xA1, 0xA2
_TERSE, _VERBOSE = 0x80, 0xA1


@dataclass(frozen=True)
class CommunityUpdate:
    """Leave and join communities, all or nothing.

    Attributes:
        reference: whom it is for, and its number.
        remove: those to leave, first; empty for all of them, None for none.
        add: those to join; None for none.
        terse: whether a terse answer is wanted.
    """

    reference: MessageReference
    remove: tuple[str, ...] | None
    add: tuple[str, ...] | None
    terse: bool = False


@dataclass(frozen=True)
class CommunityConfirm:
    """What became of it.

    Attributes:
        reference: of the message.
        status: whether all of it was done.
        communities: those the store is in now; None for a terse answer.
    """

    reference: MessageReference
    status: TampStatus
    communities: Sequence[str] | None = None

    def encode(self) -> bytes:
        """DER."""
        if self.communities is None:
            return der.sequence(self.reference.encoded, status(self.status, _TERSE))
        body = status(self.status) + communities_under(SEQUENCE, self.communities)
        return der.sequence(self.reference.encoded, der.tlv(_VERBOSE, body))


def read_community_update(content: bytes) -> CommunityUpdate:
    """Read an update of communities.

    Raises:
        ValueError: it cannot be read, does nothing at all, or adds an empty list.
        TampRefusedError: another version.
    """
    data = opened(content)
    terse, reference = read_head(data)
    updates = data.enter()
    data.finish()
    remove = read_communities(updates.enter(_REMOVE)) if updates.next_tag == _REMOVE else None
    add = read_communities(updates.enter(_ADD)) if updates.next_tag == _ADD else None
    updates.finish()
    if add == () or (remove is None and add is None):
        raise ValueError("an update of communities that does nothing")
    return CommunityUpdate(reference, remove, add, terse)
