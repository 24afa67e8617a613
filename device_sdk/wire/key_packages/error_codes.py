"""EnumeratedErrorCode of KeyPackageError (RFC 7191 section 5): those this SDK reports."""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class PackageFault(IntEnum):
    """Why a key package was not accepted; at most 127."""

    DECODE_FAILURE = 1
    BAD_CONTENT_INFO = 2
    BAD_SIGNED_DATA = 3
    BAD_SIGNED_ATTRIBUTES = 7
    NO_TRUST_ANCHOR = 10
    NOT_AUTHORIZED = 11
    SIGNATURE_FAILURE = 16
    INSUFFICIENT_MEMORY = 17
    INCORRECT_TARGET = 23
    MISSING_SIGNATURE = 29
    DECRYPT_FAILURE = 71
    MISSING_CERTIFICATE = 77
    TOO_MANY_SIGNERS = 78
    BAD_KEY_PACKAGE = 84
    BAD_ATTRIBUTES = 85
    UNSUPPORTED_SYMMETRIC_KEY_PACKAGE = 87
    CONSTRAINT_VIOLATION = 89
    OTHER = 127
