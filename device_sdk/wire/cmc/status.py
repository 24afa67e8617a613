"""CMC Status Info, both forms (RFC 5272 section 6.1, RFC 6402 Appendix A)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import IntEnum, unique

from device_sdk.wire.cms.reader import INTEGER, OID, SEQUENCE, Reader

_UTF8 = 0x0C
_GENERALIZED_TIME = 0x18
_EXTENDED = 0xA1
_MAX_BODY_PARTS = 1000
_MAX_TOKEN_BYTES = 4096


@unique
class CmcStatus(IntEnum):
    """CMCStatus (section 6.1.3)."""

    SUCCESS = 0
    FAILED = 2
    PENDING = 3
    NO_SUPPORT = 4
    CONFIRM_REQUIRED = 5
    POP_REQUIRED = 6
    PARTIAL = 7


@unique
class CmcFailInfo(IntEnum):
    """CMCFailInfo (section 6.1.4)."""

    BAD_ALG = 0
    BAD_MESSAGE_CHECK = 1
    BAD_REQUEST = 2
    BAD_TIME = 3
    BAD_CERT_ID = 4
    UNSUPPORTED_EXT = 5
    MUST_ARCHIVE_KEYS = 6
    BAD_IDENTITY = 7
    POP_REQUIRED = 8
    POP_FAILED = 9
    NO_KEY_REUSE = 10
    INTERNAL_CA_ERROR = 11
    TRY_LATER = 12
    AUTH_DATA_FAIL = 13


@dataclass(frozen=True)
class StatusInfo:
    """One status of one answer.

    Attributes:
        status: a CmcStatus, or the bare number of one that is not known.
        body_parts: the body part identifiers it is about, the last one of each path.
        text: what the server says about it, as sent; for people.
        fail_info: a CmcFailInfo, or the bare number (1000 to 1999 are private), or None.
        extended_fail_info: dotted OID of an extended reason, or None; it counts as internalCAError if it is not known.
        pend_token: what a later query names the request by, or None.
        pend_time: when the server wants to be asked again, or None.
    """

    status: int
    body_parts: tuple[int, ...]
    text: str | None = None
    fail_info: int | None = None
    extended_fail_info: str | None = None
    pend_token: bytes | None = field(default=None, repr=False)
    pend_time: datetime | None = None

    @property
    def status_name(self) -> str:
        """The status in the RFC's spelling ("confirmRequired"), or its number."""
        return _spelled(CmcStatus, self.status)

    @property
    def fail_name(self) -> str | None:
        """The reason in the RFC's spelling ("badMessageCheck"), its number, or an OID; None if there is none."""
        if self.fail_info is None:
            return self.extended_fail_info
        return _spelled(CmcFailInfo, self.fail_info)


def read_status(reader: Reader) -> StatusInfo:
    """A CMCStatusInfoV2 or CMCStatusInfo; the second is the first without paths and extended reasons.

    Args:
        reader: standing before it.

    Raises:
        ValueError: not such a structure.
    """
    info = reader.enter()
    status = info.integer()
    parts = _body_parts(info.enter())
    text = info.contents(_UTF8).decode() if info.next_tag == _UTF8 else None
    found = _with_other(StatusInfo(status, parts, text), info)
    info.finish()
    return found


def _body_parts(listed: Reader) -> tuple[int, ...]:
    found: list[int] = []
    while listed.next_tag is not None:
        if len(found) == _MAX_BODY_PARTS:
            raise ValueError("too many body parts")
        if listed.next_tag == INTEGER:
            found.append(listed.integer())
        else:
            path = _body_parts(listed.enter())
            if not path:
                raise ValueError("an empty path of body parts")
            found.append(path[-1])
    return tuple(found)


def _with_other(found: StatusInfo, info: Reader) -> StatusInfo:
    """The status with its OtherStatusInfo, if there is one."""
    if info.next_tag == INTEGER:
        return replace(found, fail_info=info.integer())
    if info.next_tag == SEQUENCE:
        return _with_pending(found, info.enter())
    if info.next_tag == _EXTENDED:
        inner = info.enter(_EXTENDED)
        # written with an explicit tag by some: then the SEQUENCE is inside
        inner = inner.enter() if inner.next_tag == SEQUENCE else inner
        return replace(found, extended_fail_info=inner.oid())
    return found


def _with_pending(found: StatusInfo, info: Reader) -> StatusInfo:
    if info.next_tag == OID:
        # RFC 5272 prints the extended reason without a tag in section 6.1.1
        return replace(found, extended_fail_info=info.oid())
    token = info.octets()
    moment = _moment(info.contents(_GENERALIZED_TIME))
    info.finish()
    if not 0 < len(token) <= _MAX_TOKEN_BYTES:
        raise ValueError("a pending token of a length that cannot be")
    return replace(found, pend_token=token, pend_time=moment)


def _moment(contents: bytes) -> datetime:
    return datetime.strptime(contents.decode("ascii"), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _spelled(kind: type[IntEnum], number: int) -> str:
    try:
        first, *rest = kind(number).name.lower().split("_")
    except ValueError:
        return str(number)
    spelled = first + "".join(word.capitalize() for word in rest)
    return spelled.replace("Ca", "CA")
