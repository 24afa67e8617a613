"""What a CMC server's "no" is called here: every CMCStatus and CMCFailInfo to its exception (RFC 5272 section 6.1)."""

from __future__ import annotations

from datetime import datetime

from device_sdk.errors import (
    CmcIdentityError,
    CmcPopError,
    CmcRefusedError,
    CmcTimeError,
    CmcUnavailableError,
    CmcUnsupportedError,
    HttpStatusError,
)
from device_sdk.model.http import HttpResponse
from device_sdk.protocols.est.retry_after import parse_retry_after
from device_sdk.protocols.est.server_text import printable, server_text
from device_sdk.wire.cmc.status import CmcFailInfo, CmcStatus, StatusInfo

_BY_REASON: dict[int, type[CmcRefusedError]] = {
    CmcFailInfo.BAD_ALG: CmcUnsupportedError,
    CmcFailInfo.BAD_MESSAGE_CHECK: CmcRefusedError,
    CmcFailInfo.BAD_REQUEST: CmcRefusedError,
    CmcFailInfo.BAD_TIME: CmcTimeError,
    CmcFailInfo.BAD_CERT_ID: CmcRefusedError,
    CmcFailInfo.UNSUPPORTED_EXT: CmcUnsupportedError,
    CmcFailInfo.MUST_ARCHIVE_KEYS: CmcRefusedError,
    CmcFailInfo.BAD_IDENTITY: CmcIdentityError,
    CmcFailInfo.POP_REQUIRED: CmcPopError,
    CmcFailInfo.POP_FAILED: CmcPopError,
    CmcFailInfo.NO_KEY_REUSE: CmcRefusedError,
    CmcFailInfo.INTERNAL_CA_ERROR: CmcUnavailableError,
    CmcFailInfo.TRY_LATER: CmcUnavailableError,
    CmcFailInfo.AUTH_DATA_FAIL: CmcIdentityError,
}

_BY_STATUS: dict[int, type[CmcRefusedError]] = {
    CmcStatus.NO_SUPPORT: CmcUnsupportedError,
    CmcStatus.POP_REQUIRED: CmcPopError,
}

_HINTS: dict[int, str] = {
    CmcFailInfo.BAD_ALG: "use a key or hash the server knows",
    CmcFailInfo.BAD_MESSAGE_CHECK: "the certificate that signed may be revoked, expired, or of another CA",
    CmcFailInfo.BAD_TIME: "set this machine's clock",
    CmcFailInfo.BAD_CERT_ID: "the server knows no such certificate",
    CmcFailInfo.MUST_ARCHIVE_KEYS: "this CA wants the private key; it does not leave its hardware",
    CmcFailInfo.BAD_IDENTITY: "check the shared secret and its identification, or the certificate that signs",
    CmcFailInfo.POP_FAILED: "limit the connection to TLS 1.2 if the server knows no binding of TLS 1.3",
    CmcFailInfo.NO_KEY_REUSE: "make a new key and ask for a certificate for that",
    CmcFailInfo.INTERNAL_CA_ERROR: "try again later, or ask the CA's operator",
    CmcFailInfo.TRY_LATER: "try again later",
}


def refused(response: HttpResponse, info: StatusInfo, transaction_id: int, now: datetime) -> CmcRefusedError:
    """The exception for a verified status that means "no".

    An extended reason nobody knows counts as internalCAError (section 6.1.1); any other unknown number is a refusal.

    Args:
        response: the answer.
        info: the status.
        transaction_id: of the request.
        now: the present, for Retry-After.
    """
    reason = info.fail_info
    if reason is None and info.extended_fail_info is not None:
        reason = CmcFailInfo.INTERNAL_CA_ERROR
    kind = _BY_STATUS.get(info.status, CmcRefusedError) if reason is None else _BY_REASON.get(reason, CmcRefusedError)
    said = printable(info.text) if info.text else None
    words = info.status_name + (f", {info.fail_name}" if info.fail_name else "")
    return kind(
        f"{response.url}: the CA answered {words}" + (f": {said}" if said else ""),
        hint=_HINTS.get(reason) if reason is not None else None,
        url=response.url,
        status_code=response.status_code,
        server_text=said,
        retry_after_s=_retry_after(response, now),
        cmc_status=info.status_name,
        fail_info=info.fail_name,
        body_parts=info.body_parts,
        transaction_id=f"{transaction_id:x}",
    )


def refused_unread(response: HttpResponse, now: datetime, *, why: str | None = None) -> HttpStatusError:
    """The exception for a status code that means "no" where no CMC answer says more.

    Args:
        response: the answer.
        now: the present, for Retry-After.
        why: why its CMC body was not believed.
    """
    said = server_text(response)
    status = response.status_code
    detail = f"; its CMC answer tells nothing: {why}" if why else f": {said}" if said else ""
    return HttpStatusError(
        f"{response.url}: the server answered {status}{detail}",
        hint="this server or label does not speak Full CMC" if status in (404, 501) else None,
        url=response.url,
        status_code=status,
        server_text=said,
        retry_after_s=_retry_after(response, now),
    )


def _retry_after(response: HttpResponse, now: datetime) -> float | None:
    value = response.header("Retry-After")
    return parse_retry_after(value, now) if value is not None else None
