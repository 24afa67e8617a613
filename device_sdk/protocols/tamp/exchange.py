"""GET /tamp, and what is POSTed to /tamp/return (RFC 8295 section 7; T-01, T-02, TR-01, TR-02)."""

from __future__ import annotations

from datetime import datetime

from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.model.trust import TlsIdentity
from device_sdk.protocols.est.refusals import refuse
from device_sdk.protocols.firmware.reports import key_identifier
from device_sdk.wire.cms.signing import Signer, sign_data
from device_sdk.wire.tamp import oids
from device_sdk.wire.tamp.strict import MAX_MESSAGE_BYTES

_ACCEPT = ", ".join((*(oids.MEDIA_TYPES[one] for one in oids.TO_DEVICES), "application/cms"))


def tamp_request(target: str) -> HttpRequest:
    """GET a message."""
    return HttpRequest("GET", target, (("Accept", _ACCEPT),), limit_bytes=MAX_MESSAGE_BYTES, operation="tamp")


def read_tamp(response: HttpResponse, now: datetime) -> bytes | None:
    """The message of an answer, as it came; None for 404 and 204, which mean that there is none (AMB-22).

    The Content-Type does not count: what it is, the bytes say (AMB-05, G-08).

    Raises:
        HttpStatusError: another status than 200.
    """
    if response.status_code in (204, 404):
        return None
    if response.status_code != 200:
        refuse(response, now)
    return response.body


def signed_answer(content: bytes, content_type: str, identity: TlsIdentity, now: datetime) -> bytes:
    """An answer, signed as RFC 5934 section 2.2 wants it: one signer, named by key identifier, his certificate with it.

    Args:
        content: DER.
        content_type: of the answer, dotted.
        identity: whose key signs.
        now: the present.

    Raises:
        KeyStoreError: the key could not sign.
    """
    leaf = identity.chain[0]
    signer = Signer(identity.key, key_identifier=key_identifier(leaf))
    return sign_data(content, content_type, signer, certificates=(leaf,), signing_time=now)
