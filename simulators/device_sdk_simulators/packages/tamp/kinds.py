"""The five messages for devices, what they are answered with, and what both are called (RFC 5934 section 4, RFC 8295 section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyasn1_alt_modules import rfc5934

ERROR, ERROR_MEDIA = str(rfc5934.id_ct_TAMP_error), "application/tamp-error"


@dataclass(frozen=True)
class Kind:
    """One of them.

    Attributes:
        name: on the command line.
        content_type: dotted.
        media: of the message.
        entry: on package lists; the number that asks for the answer is the next one.
        answer: content type of what says that it was understood.
        answer_media: of that.
        answer_structure: of that.
    """

    name: str
    content_type: str
    media: str
    entry: str
    answer: str
    answer_media: str
    answer_structure: type[Any]

    @property
    def wanted(self) -> str:
        """The entry that asks for the answer."""
        return f"{int(self.entry) + 1:04}"


def _kind(name: str, oid: object, entry: str, answer: object, answered: str, structure: type[Any]) -> Kind:
    media = f"application/tamp-{'status-query' if name == 'query' else name}"
    return Kind(name, str(oid), media, entry, str(answer), f"application/tamp-{answered}", structure)


_R = rfc5934
QUERY = _kind(
    "query", _R.id_ct_TAMP_statusQuery, "0028", _R.id_ct_TAMP_statusResponse, "status-response", _R.TAMPStatusResponse
)
UPDATE = _kind(
    "update", _R.id_ct_TAMP_update, "0030", _R.id_ct_TAMP_updateConfirm, "update-confirm", _R.TAMPUpdateConfirm
)
APEX_UPDATE = _kind(
    "apex-update",
    _R.id_ct_TAMP_apexUpdate,
    "0032",
    _R.id_ct_TAMP_apexUpdateConfirm,
    "apex-update-confirm",
    _R.TAMPApexUpdateConfirm,
)
COMMUNITY_UPDATE = _kind(
    "community-update",
    _R.id_ct_TAMP_communityUpdate,
    "0034",
    _R.id_ct_TAMP_communityUpdateConfirm,
    "community-update-confirm",
    _R.TAMPCommunityUpdateConfirm,
)
SEQUENCE_ADJUST = _kind(
    "sequence-adjust",
    _R.id_ct_TAMP_seqNumAdjust,
    "0036",
    _R.id_ct_TAMP_seqNumAdjustConfirm,
    "sequence-adjust-confirm",
    _R.SequenceNumberAdjustConfirm,
)
KINDS = {one.name: one for one in (QUERY, UPDATE, APEX_UPDATE, COMMUNITY_UPDATE, SEQUENCE_ADJUST)}
BY_CONTENT_TYPE = {one.content_type: one for one in KINDS.values()}
BY_ANSWER = {one.answer: one for one in KINDS.values()}
