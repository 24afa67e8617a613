"""Why a message about trust anchors is refused: the numbers of RFC 5934 section 5, and the error that carries one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, unique

from device_sdk.errors import TampRefusedError, WireError


@unique
class TampStatus(IntEnum):
    """StatusCode."""

    SUCCESS = 0
    DECODE_FAILURE = 1
    BAD_CONTENT_INFO = 2
    BAD_SIGNED_DATA = 3
    BAD_ENCAP_CONTENT = 4
    BAD_CERTIFICATE = 5
    BAD_SIGNER_INFO = 6
    BAD_SIGNED_ATTRS = 7
    BAD_UNSIGNED_ATTRS = 8
    MISSING_CONTENT = 9
    NO_TRUST_ANCHOR = 10
    NOT_AUTHORIZED = 11
    BAD_DIGEST_ALGORITHM = 12
    BAD_SIGNATURE_ALGORITHM = 13
    UNSUPPORTED_KEY_SIZE = 14
    UNSUPPORTED_PARAMETERS = 15
    SIGNATURE_FAILURE = 16
    INSUFFICIENT_MEMORY = 17
    UNSUPPORTED_TAMP_MSG_TYPE = 18
    APEX_TAMP_ANCHOR = 19
    IMPROPER_TA_ADDITION = 20
    SEQ_NUM_FAILURE = 21
    CONTINGENCY_PUBLIC_KEY_DECRYPT = 22
    INCORRECT_TARGET = 23
    COMMUNITY_UPDATE_FAILED = 24
    TRUST_ANCHOR_NOT_FOUND = 25
    UNSUPPORTED_TA_ALGORITHM = 26
    UNSUPPORTED_TA_KEY_SIZE = 27
    UNSUPPORTED_CONTIN_PUB_KEY_DECRYPT_ALG = 28
    MISSING_SIGNATURE = 29
    RESOURCES_BUSY = 30
    VERSION_NUMBER_MISMATCH = 31
    MISSING_POLICY_SET = 32
    REVOKED_CERTIFICATE = 33
    UNSUPPORTED_TRUST_ANCHOR_FORMAT = 34
    IMPROPER_TA_CHANGE = 35
    MALFORMED = 36
    CMS_ERROR = 37
    UNSUPPORTED_TARGET_IDENTIFIER = 38
    OTHER = 127

    @property
    def words(self) -> str:
        """The name for people."""
        return self.name.lower().replace("_", " ")


def refused(status: TampStatus, why: str, *, hint: str | None = None) -> TampRefusedError:
    """The error that says so."""
    return TampRefusedError(f"the message about trust anchors is refused: {why}", hint=hint, status=int(status))


@contextmanager
def refusing(status: TampStatus, what: str) -> Iterator[None]:
    """Turn what readers raise about malformed bytes into a refusal.

    Raises:
        TampRefusedError: the block raised ValueError or WireError.
    """
    try:
        yield
    except WireError as error:
        raise refused(status, f"{what}: {error.message}") from error
    except ValueError as error:
        raise refused(status, f"{what}: {error}") from error
