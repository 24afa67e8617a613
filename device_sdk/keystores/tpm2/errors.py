"""From the TPM's response codes to the SDK's errors (TPM 2.0 part 2, 6.6; layers: TSS 2.0 overview, section 3)."""

from __future__ import annotations

from enum import Enum, auto, unique
from typing import Any

from device_sdk.errors import (
    KeyNotFoundError,
    KeyStoreBusyError,
    KeyStoreError,
    KeyStoreFailedError,
    MechanismUnsupportedError,
    PinIncorrectError,
    PinLockedError,
    StoreCorruptError,
)

_FORMAT_ONE = 0x080
_TPM_LAYERS = (0, 11)  # the TPM itself, and a resource manager that answers in its name

FAILURE = 0x101
ATTRIBUTES = 0x082
HASH = 0x083
VALUE = 0x084
HANDLE = 0x08B
AUTH_FAIL = 0x08E
SCHEME = 0x092
SIZE = 0x095
INTEGRITY = 0x09F
BAD_AUTH = 0x0A2
NV_DEFINED = 0x14C
NV_SPACE = 0x14B
OBJECT_MEMORY = 0x902
LOCKOUT = 0x921

_AGAIN = {0x908, 0x90A, 0x920, 0x922, 0x923}  # YIELDED, TESTING, NV_RATE, RETRY, NV_UNAVAILABLE
_MEMORY = {0x901, OBJECT_MEMORY, 0x903, 0x904}  # CONTEXT_GAP, OBJECT_MEMORY, SESSION_MEMORY, MEMORY
_STALE = {0x910, 0x918}  # REFERENCE_H0, REFERENCE_S0: the handle is of a time before the last reset
_UNKNOWN_THERE = {0x083, 0x084, 0x089, 0x08A, 0x092, 0x096, 0x0A6, 0x143, 0x125}
_TCTI_LAYER = 10
_ESYS_BAD_SEQUENCE = 0x70007  # what ESAPI answers for ever after its TCTI broke in the middle of a command

_NAMES = {
    FAILURE: "TPM_RC_FAILURE: the TPM is in failure mode",
    ATTRIBUTES: "TPM_RC_ATTRIBUTES: the key may not be used for this",
    HANDLE: "TPM_RC_HANDLE: no such object",
    INTEGRITY: "TPM_RC_INTEGRITY: made by another TPM, or damaged",
    NV_SPACE: "TPM_RC_NV_SPACE: no room for another persistent object",
    0x100: "TPM_RC_INITIALIZE: the TPM has not been started (tpm2_startup -c)",
    0x125: "TPM_RC_DISABLED: the command is disabled",
    0x12D: "TPM_RC_UPGRADE: the TPM is in field upgrade mode",
    0x143: "TPM_RC_COMMAND_CODE: the TPM does not have this command",
    0x185: "TPM_RC_HIERARCHY: the hierarchy is disabled",
}


@unique
class Kind(Enum):
    """What is to be done about a response code."""

    AGAIN = auto()
    """Wait a little and send it again."""
    MEMORY = auto()
    """No slot is free."""
    GONE = auto()
    """The connection broke or the TPM was reset: connect anew."""
    FINAL = auto()
    """The answer stands."""


def base_code(rc: int) -> int:
    """The code without the number of the handle, session or parameter it is about; other layers' codes as they are."""
    if rc >> 16 not in _TPM_LAYERS:
        return rc
    rc &= 0xFFFF
    return _FORMAT_ONE | rc & 0x3F if rc & _FORMAT_ONE else rc


def kind_of(rc: int) -> Kind:
    """What is to be done about a response code."""
    base = base_code(rc)
    if base in _AGAIN:
        return Kind.AGAIN
    if base in _MEMORY:
        return Kind.MEMORY
    if base in _STALE or rc >> 16 == _TCTI_LAYER or rc == _ESYS_BAD_SEQUENCE:
        return Kind.GONE
    return Kind.FINAL


def is_wrong_auth(rc: int) -> bool:
    """Whether an authorisation value was refused."""
    return base_code(rc) in (AUTH_FAIL, BAD_AUTH)


def to_error(rc: int, operation: str, where: str) -> KeyStoreError:
    """The SDK's error for a response code.

    Args:
        rc: as ESAPI reports it.
        operation: what was asked of the TPM ("sign", "load the key").
        where: redacted URI of the key or TPM.
    """
    base = base_code(rc)
    facts: dict[str, Any] = {"uri": where, "return_code": rc}
    if base == LOCKOUT:
        return PinLockedError(f"{where}: the TPM is in dictionary-attack lockout", **facts)
    if base in (AUTH_FAIL, BAD_AUTH):
        return PinIncorrectError(f"{where}: the authorisation value was refused", **facts)
    if base == INTEGRITY:
        return StoreCorruptError(
            f"{where}: this TPM cannot load the key: another TPM made it, the TPM was cleared since, or it is damaged",
            **facts,
        )
    if base == HANDLE:
        return KeyNotFoundError(f"{where}: no such object in the TPM", **facts)
    if base in _MEMORY:
        return KeyStoreBusyError(
            f"{where}: the TPM has no free slot to {operation}",
            hint="other programs' objects may be left in it: tpm2_getcap handles-transient, tpm2_flushcontext -t",
            **facts,
        )
    if base in _AGAIN:
        return KeyStoreBusyError(f"{where}: the TPM stayed busy and could not {operation}", **facts)
    if base == ATTRIBUTES or base in _UNKNOWN_THERE:
        return MechanismUnsupportedError(
            f"{where}: the TPM cannot {operation} with this key (code 0x{rc:x})", mechanism=operation, **facts
        )
    words = _NAMES.get(base, f"code 0x{rc:x}")
    return KeyStoreFailedError(f"{where}: the TPM could not {operation}: {words}", operation=operation, **facts)
