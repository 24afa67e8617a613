"""PKIResponse, the content of a Full PKI Response, read within bounds (RFC 5272 section 4.2.1, EST-206)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from device_sdk.errors import WireError
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.status import StatusInfo, read_status
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.cms.reader import INTEGER, SET, Reader

MAX_CONTROLS = 100
_MAX_NUMBER_BYTES = 128
_MAX_NONCE_BYTES = 1024
_SINGLE = {oids.TRANSACTION_ID, oids.SENDER_NONCE, oids.RECIPIENT_NONCE, oids.TRUSTED_ANCHORS}


@dataclass(frozen=True)
class PkiResponse:
    """What a server says beside certificates. Nothing of it is trusted before the signature around it is verified.

    Attributes:
        statuses: in order, of both forms; empty means success (section 6.1.2).
        transaction_id: echoed from the request, or None.
        sender_nonce: the server's own, or None.
        recipient_nonce: echoed from the request's senderNonce, or None.
        trusted_anchors: DER of a PublishTrustAnchors, or None.
        unknown: OIDs of controls that are not looked at.
    """

    statuses: tuple[StatusInfo, ...]
    transaction_id: int | None = None
    sender_nonce: bytes | None = field(default=None, repr=False)
    recipient_nonce: bytes | None = field(default=None, repr=False)
    trusted_anchors: bytes | None = field(default=None, repr=False)
    unknown: tuple[str, ...] = ()


def read_pki_response(content: bytes) -> PkiResponse:
    """Read a PKIResponse, DER or BER.

    cmsSequence and otherMsgSequence are skipped: no control that is read here refers to them (section 4.2.1).

    Raises:
        WireError: not a PKIResponse, more than MAX_CONTROLS controls, or one twice that may be there once.
    """
    try:
        return _read(Reader(make_definite(content)))
    except (ValueError, OverflowError) as error:
        raise WireError(f"not a PKIResponse: {error}", what="PKIResponse") from error


def _read(reader: Reader) -> PkiResponse:
    response = reader.enter()
    reader.finish()
    statuses: list[StatusInfo] = []
    old_statuses: list[StatusInfo] = []
    single: dict[str, bytes] = {}
    unknown: list[str] = []
    for oid, value in _controls(response.enter()):
        if oid == oids.STATUS_INFO_V2:
            statuses.append(read_status(Reader(value)))
        elif oid == oids.STATUS_INFO:
            old_statuses.append(read_status(Reader(value)))
        elif oid not in _SINGLE:
            unknown.append(oid)
        elif oid in single:
            raise ValueError(f"the control {oid} is there twice")
        else:
            single[oid] = value
    response.element()
    response.element()
    response.finish()
    return PkiResponse(
        # Servers may send both forms for the same thing (section 6.1); the old one counts where the new one is missing.
        statuses=tuple(statuses or old_statuses),
        transaction_id=_number(single.get(oids.TRANSACTION_ID)),
        sender_nonce=_nonce(single.get(oids.SENDER_NONCE)),
        recipient_nonce=_nonce(single.get(oids.RECIPIENT_NONCE)),
        trusted_anchors=single.get(oids.TRUSTED_ANCHORS),
        unknown=tuple(unknown),
    )


def _controls(sequence: Reader) -> Iterator[tuple[str, bytes]]:
    """OID and the one value of each control; body part identifiers are unique (section 3.2.2)."""
    seen: set[int] = set()
    while sequence.next_tag is not None:
        control = sequence.enter()
        number = control.integer()
        if number in seen or len(seen) == MAX_CONTROLS:
            raise ValueError("a body part identifier twice, or too many controls")
        seen.add(number)
        oid = control.oid()
        values = control.enter(SET)
        control.finish()
        value = values.element()
        values.finish()
        yield oid, value


def _number(value: bytes | None) -> int | None:
    if value is None:
        return None
    contents = Reader(value).contents(INTEGER)
    if not 1 <= len(contents) <= _MAX_NUMBER_BYTES:
        raise ValueError("a transaction identifier of a length that cannot be")
    return int.from_bytes(contents, "big", signed=True)


def _nonce(value: bytes | None) -> bytes | None:
    if value is None:
        return None
    nonce = Reader(value).octets()
    if len(nonce) > _MAX_NONCE_BYTES:
        raise ValueError("a nonce of a length that cannot be")
    return nonce
