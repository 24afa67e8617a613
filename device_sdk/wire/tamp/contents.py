"""What a device may be told, by content type."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from device_sdk.wire.tamp import oids
from device_sdk.wire.tamp.adjust import SequenceAdjust, read_sequence_adjust
from device_sdk.wire.tamp.apex import ApexUpdate, read_apex_update
from device_sdk.wire.tamp.community import CommunityUpdate, read_community_update
from device_sdk.wire.tamp.query import StatusQuery, read_status_query
from device_sdk.wire.tamp.update import Update, read_update

TampRequest: TypeAlias = StatusQuery | Update | ApexUpdate | CommunityUpdate | SequenceAdjust

_READERS: dict[str, Callable[[bytes], TampRequest]] = {
    oids.STATUS_QUERY: read_status_query,
    oids.UPDATE: read_update,
    oids.APEX_UPDATE: read_apex_update,
    oids.COMMUNITY_UPDATE: read_community_update,
    oids.SEQUENCE_ADJUST: read_sequence_adjust,
}


def read_request(content_type: str, content: bytes) -> TampRequest:
    """Read one of the five messages to devices.

    Args:
        content_type: one of oids.TO_DEVICES.
        content: DER.

    Raises:
        ValueError: it cannot be read.
        TampRefusedError: another version of the protocol.
    """
    return _READERS[content_type](content)
