"""Content types and media types of the messages, and what else has an object identifier (RFC 5934; RFC 8295 section 7)."""

from __future__ import annotations

_TAMP = "2.16.840.1.101.2.1.2.77."

STATUS_QUERY = _TAMP + "1"
STATUS_RESPONSE = _TAMP + "2"
UPDATE = _TAMP + "3"
UPDATE_CONFIRM = _TAMP + "4"
APEX_UPDATE = _TAMP + "5"
APEX_UPDATE_CONFIRM = _TAMP + "6"
COMMUNITY_UPDATE = _TAMP + "7"
COMMUNITY_UPDATE_CONFIRM = _TAMP + "8"
ERROR = _TAMP + "9"
SEQUENCE_ADJUST = _TAMP + "10"
SEQUENCE_ADJUST_CONFIRM = _TAMP + "11"

TO_DEVICES = (STATUS_QUERY, UPDATE, APEX_UPDATE, COMMUNITY_UPDATE, SEQUENCE_ADJUST)
"""What a store gets; all of it has to be signed (section 4)."""

MEDIA_TYPES = {
    STATUS_QUERY: "application/tamp-status-query",
    STATUS_RESPONSE: "application/tamp-status-response",
    UPDATE: "application/tamp-update",
    UPDATE_CONFIRM: "application/tamp-update-confirm",
    APEX_UPDATE: "application/tamp-apex-update",
    APEX_UPDATE_CONFIRM: "application/tamp-apex-update-confirm",
    COMMUNITY_UPDATE: "application/tamp-community-update",
    COMMUNITY_UPDATE_CONFIRM: "application/tamp-community-update-confirm",
    ERROR: "application/tamp-error",
    SEQUENCE_ADJUST: "application/tamp-sequence-adjust",
    SEQUENCE_ADJUST_CONFIRM: "application/tamp-sequence-adjust-confirm",
}

CONTINGENCY_KEY_ATTRIBUTE = "2.16.840.1.101.2.1.5.63"
"""contingency-public-key-decrypt-key, the one unsigned attribute (section 2.2.4.1)."""

WRAPPED_APEX_CONTINGENCY_KEY = "1.3.6.1.5.5.7.1.20"
"""id-pe-wrappedApexContinKey, an extension of apex anchors (section 9)."""
