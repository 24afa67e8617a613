"""Why a firmware package is not loaded: the numbers of RFC 4108 section 4.1.3, and the error that carries one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, unique

from device_sdk.errors import FirmwareError, WireError


@unique
class LoadErrorCode(IntEnum):
    """FirmwarePackageLoadErrorCode."""

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
    SIGNATURE_FAILURE = 15
    CONTENT_TYPE_MISMATCH = 16
    BAD_ENCRYPTED_DATA = 17
    UNPROTECTED_ATTRS_PRESENT = 18
    BAD_ENCRYPT_CONTENT = 19
    BAD_ENCRYPT_ALGORITHM = 20
    MISSING_CIPHERTEXT = 21
    NO_DECRYPT_KEY = 22
    DECRYPT_FAILURE = 23
    BAD_COMPRESS_ALGORITHM = 24
    MISSING_COMPRESSED_CONTENT = 25
    DECOMPRESS_FAILURE = 26
    WRONG_HARDWARE = 27
    STALE_PACKAGE = 28
    NOT_IN_COMMUNITY = 29
    UNSUPPORTED_PACKAGE_TYPE = 30
    MISSING_DEPENDENCY = 31
    WRONG_DEPENDENCY_VERSION = 32
    INSUFFICIENT_MEMORY = 33
    BAD_FIRMWARE = 34
    UNSUPPORTED_PARAMETERS = 35
    BREAKS_DEPENDENCY = 36
    OTHER_ERROR = 99


def refused(code: LoadErrorCode, why: str, *, hint: str | None = None) -> FirmwareError:
    """The error that says so."""
    return FirmwareError(f"the firmware package is refused: {why}", hint=hint, load_error=int(code))


@contextmanager
def refusing(code: LoadErrorCode, what: str) -> Iterator[None]:
    """Turn what readers raise about malformed bytes into a refusal.

    Raises:
        FirmwareError: the block raised ValueError, KeyError or WireError.
    """
    try:
        yield
    except WireError as error:
        raise refused(code, f"{what}: {error.message}") from error
    except (ValueError, KeyError) as error:
        raise refused(code, f"{what}: {error}") from error
