"""Why a Full PKI Request is refused (RFC 5272 section 6.1)."""

from __future__ import annotations

from device_sdk_simulators.http.messages import Headers

FAILED, NO_SUPPORT = 2, 4

BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST, BAD_TIME, BAD_CERT_ID = 0, 1, 2, 3, 4
BAD_IDENTITY, POP_REQUIRED, POP_FAILED, NO_KEY_REUSE = 7, 8, 9, 10
TRY_LATER = 12


class CmcRefusedError(Exception):
    """A request that is answered with a CMC status and an error of HTTP.

    Args:
        fail_info: CMCFailInfo; None where the status says it all.
        text: for people, goes into statusString.
        body_parts: what of the request it is about; (0,) is the whole.
        http_status: 4xx or 5xx.
        status: CMCStatus.
        headers: for the answer.
    """

    def __init__(
        self,
        fail_info: int | None,
        text: str,
        *,
        body_parts: tuple[int, ...] = (0,),
        http_status: int = 400,
        status: int = FAILED,
        headers: Headers | None = None,
    ) -> None:
        super().__init__(text)
        self.fail_info = fail_info
        self.text = text
        self.body_parts = body_parts
        self.http_status = http_status
        self.status = status
        self.headers = headers or []
