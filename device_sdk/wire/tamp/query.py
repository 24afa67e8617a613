"""TAMPStatusQuery and TAMPStatusResponse (RFC 5934 sections 4.1 and 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device_sdk.wire import der
from device_sdk.wire.cms.reader import OCTET_STRING, SEQUENCE
from device_sdk.wire.tamp.anchors import MAX_ANCHORS, TrustAnchor, read_anchors
from device_sdk.wire.tamp.answers import communities_under, numbers_under, opened_answer, uses_apex
from device_sdk.wire.tamp.reference import (
    MessageReference,
    SequenceNumber,
    read_head,
    read_key_id,
    read_numbers,
    read_reference,
)
from device_sdk.wire.tamp.strict import BOOLEAN, flag, opened, several
from device_sdk.wire.tamp.targets import read_communities

_TERSE, _VERBOSE = 0xA0, 0xA1
_ALGORITHM, _COMMUNITIES, _NUMBERS = 0xA0, 0xA1, 0xA2


@dataclass(frozen=True)
class StatusQuery:
    """What is in the store?"""

    reference: MessageReference
    terse: bool = False


@dataclass(frozen=True)
class StatusResponse:
    """What is in the store.

    Attributes:
        reference: of the query.
        key_ids: of all anchors, the apex first; of a terse answer.
        anchors: all of them, the apex first; of a verbose one.
        apex: whether the first is the apex.
        communities: of which the store is a member.
        decrypt_algorithm: DER of the algorithm that opens the contingency key; of a verbose answer.
        numbers: of the anchors that may sign; of a verbose answer.
    """

    reference: MessageReference
    key_ids: Sequence[bytes] = ()
    anchors: Sequence[TrustAnchor] = ()
    apex: bool = True
    communities: Sequence[str] = ()
    decrypt_algorithm: bytes | None = None
    numbers: Sequence[SequenceNumber] = ()

    def encode(self) -> bytes:
        """DER; verbose if there are anchors."""
        body = self._verbose() if self.anchors else self._terse()
        return der.sequence(self.reference.encoded, body, uses_apex(self.apex))

    def _terse(self) -> bytes:
        key_ids = der.sequence(*(der.tlv(OCTET_STRING, one) for one in self.key_ids))
        return der.tlv(_TERSE, key_ids + communities_under(SEQUENCE, self.communities))

    def _verbose(self) -> bytes:
        algorithm = b"" if self.decrypt_algorithm is None else der.tlv(_ALGORITHM, self.decrypt_algorithm)
        return der.tlv(
            _VERBOSE,
            der.sequence(*(one.encoded for one in self.anchors))
            + algorithm
            + communities_under(_COMMUNITIES, self.communities)
            + numbers_under(_NUMBERS, self.numbers),
        )


def read_status_query(content: bytes) -> StatusQuery:
    """Read a query.

    Raises:
        ValueError: it cannot be read.
        TampRefusedError: another version.
    """
    data = opened(content)
    terse, reference = read_head(data)
    data.finish()
    return StatusQuery(reference, terse)


def read_status_response(content: bytes) -> StatusResponse:
    """Read an answer; raises as `read_status_query`."""
    data = opened_answer(content)
    reference = read_reference(data)
    terse = data.next_tag == _TERSE
    body = data.enter(_TERSE if terse else _VERBOSE)
    apex = flag(data) if data.next_tag == BOOLEAN else True
    data.finish()
    if terse:
        key_ids = several(body.enter(), read_key_id, MAX_ANCHORS)
        communities = read_communities(body.enter()) if body.next_tag == SEQUENCE else ()
        body.finish()
        return StatusResponse(reference, key_ids, apex=apex, communities=communities)
    anchors = read_anchors(body.enter())
    algorithm = body.contents(_ALGORITHM) if body.next_tag == _ALGORITHM else None
    communities = read_communities(body.enter(_COMMUNITIES)) if body.next_tag == _COMMUNITIES else ()
    numbers = read_numbers(body.enter(_NUMBERS)) if body.next_tag == _NUMBERS else ()
    body.finish()
    return StatusResponse(reference, (), anchors, apex, communities, algorithm, numbers)
