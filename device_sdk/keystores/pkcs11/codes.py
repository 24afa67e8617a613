"""PKCS#11 return codes: their names, what they mean for a session, and what python-pkcs11 makes of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pkcs11.exceptions import PKCS11Error

OK = 0x000
HOST_MEMORY = 0x002
SLOT_ID_INVALID = 0x003
GENERAL_ERROR = 0x005
FUNCTION_FAILED = 0x006
ARGUMENTS_BAD = 0x007
CANT_LOCK = 0x00A
ATTRIBUTE_READ_ONLY = 0x010
ATTRIBUTE_SENSITIVE = 0x011
ATTRIBUTE_TYPE_INVALID = 0x012
ATTRIBUTE_VALUE_INVALID = 0x013
ACTION_PROHIBITED = 0x01B
DATA_INVALID = 0x020
DATA_LEN_RANGE = 0x021
DEVICE_ERROR = 0x030
DEVICE_MEMORY = 0x031
DEVICE_REMOVED = 0x032
ENCRYPTED_DATA_INVALID = 0x040
ENCRYPTED_DATA_LEN_RANGE = 0x041
FUNCTION_CANCELED = 0x050
FUNCTION_NOT_SUPPORTED = 0x054
KEY_HANDLE_INVALID = 0x060
KEY_SIZE_RANGE = 0x062
KEY_TYPE_INCONSISTENT = 0x063
KEY_FUNCTION_NOT_PERMITTED = 0x068
KEY_UNEXTRACTABLE = 0x06A
MECHANISM_INVALID = 0x070
MECHANISM_PARAM_INVALID = 0x071
OBJECT_HANDLE_INVALID = 0x082
OPERATION_ACTIVE = 0x090
OPERATION_NOT_INITIALIZED = 0x091
PIN_INCORRECT = 0x0A0
PIN_INVALID = 0x0A1
PIN_LEN_RANGE = 0x0A2
PIN_EXPIRED = 0x0A3
PIN_LOCKED = 0x0A4
SESSION_CLOSED = 0x0B0
SESSION_COUNT = 0x0B1
SESSION_HANDLE_INVALID = 0x0B3
SESSION_PARALLEL_NOT_SUPPORTED = 0x0B4
SESSION_READ_ONLY = 0x0B5
SESSION_EXISTS = 0x0B6
SESSION_READ_ONLY_EXISTS = 0x0B7
SESSION_READ_WRITE_SO_EXISTS = 0x0B8
SIGNATURE_INVALID = 0x0C0
SIGNATURE_LEN_RANGE = 0x0C1
TEMPLATE_INCOMPLETE = 0x0D0
TEMPLATE_INCONSISTENT = 0x0D1
TOKEN_NOT_PRESENT = 0x0E0
TOKEN_NOT_RECOGNIZED = 0x0E1
TOKEN_WRITE_PROTECTED = 0x0E2
USER_ALREADY_LOGGED_IN = 0x100
USER_NOT_LOGGED_IN = 0x101
USER_PIN_NOT_INITIALIZED = 0x102
USER_TYPE_INVALID = 0x103
USER_ANOTHER_ALREADY_LOGGED_IN = 0x104
USER_TOO_MANY_TYPES = 0x105
WRAPPED_KEY_INVALID = 0x110
WRAPPED_KEY_LEN_RANGE = 0x112
DOMAIN_PARAMS_INVALID = 0x130
CURVE_NOT_SUPPORTED = 0x140
BUFFER_TOO_SMALL = 0x150
CRYPTOKI_NOT_INITIALIZED = 0x190
CRYPTOKI_ALREADY_INITIALIZED = 0x191

NAMES = {value: name for name, value in list(globals().items()) if name.isupper() and isinstance(value, int)}

SESSION_LOST = frozenset({SESSION_CLOSED, SESSION_HANDLE_INVALID, USER_NOT_LOGGED_IN, OPERATION_ACTIVE})
"""The session or the login is gone; new sessions and a new login repair it."""

TOKEN_LOST = frozenset(
    {
        OBJECT_HANDLE_INVALID,
        KEY_HANDLE_INVALID,
        DEVICE_ERROR,
        DEVICE_REMOVED,
        DEVICE_MEMORY,
        TOKEN_NOT_PRESENT,
        TOKEN_NOT_RECOGNIZED,
        SLOT_ID_INVALID,
        CRYPTOKI_NOT_INITIALIZED,
    }
)
"""The token went away, perhaps for a moment; some modules see it again only after C_Finalize and C_Initialize."""

UNSUPPORTED = frozenset(
    {
        FUNCTION_NOT_SUPPORTED,
        MECHANISM_INVALID,
        MECHANISM_PARAM_INVALID,
        ARGUMENTS_BAD,
        KEY_FUNCTION_NOT_PERMITTED,
        KEY_TYPE_INCONSISTENT,
        KEY_SIZE_RANGE,
        CURVE_NOT_SUPPORTED,
        DOMAIN_PARAMS_INVALID,
    }
)
"""The module or the key cannot do what was asked, and will not be able to next time."""

BAD_CIPHERTEXT = frozenset(
    {GENERAL_ERROR, FUNCTION_FAILED, DATA_INVALID, DATA_LEN_RANGE, ENCRYPTED_DATA_INVALID, ENCRYPTED_DATA_LEN_RANGE}
)
"""What modules answer when a ciphertext does not decrypt; SoftHSM and tpm2-pkcs11 say GENERAL_ERROR."""

# python-pkcs11 has a class per code, without the number; these names differ from the constant's by more than spelling.
_RENAMED = {
    "AnotherUserAlreadyLoggedIn": USER_ANOTHER_ALREADY_LOGGED_IN,
    "FunctionCancelled": FUNCTION_CANCELED,
    "MemoryError": HOST_MEMORY,
}
_SPELLED = {name.replace("_", "").replace("RECOGNIZED", "RECOGNISED"): value for value, name in NAMES.items()}


class CkError(Exception):
    """A PKCS#11 function that did not return CKR_OK; stays inside this package.

    Attributes:
        code: the CK_RV, or None where python-pkcs11 raised something that is no return code.
        operation: what was asked of the token ("C_Login", "sign").
    """

    def __init__(self, code: int | None, operation: str, detail: str = "") -> None:
        self.code = code
        self.operation = operation
        super().__init__(f"{operation}: {describe(code, detail)}")


def describe(code: int | None, detail: str = "") -> str:
    """A return code in words: "CKR_PIN_LOCKED (0xa4)"."""
    if code is None:
        return detail or "unknown failure"
    return f"CKR_{NAMES[code]} (0x{code:x})" if code in NAMES else f"return code 0x{code:x}"


def code_of(error: PKCS11Error) -> int | None:
    """The return code behind one of python-pkcs11's exceptions, or None."""
    name = type(error).__name__
    if "not initialized" in str(error):
        return CRYPTOKI_NOT_INITIALIZED
    if match := re.search(r"0x([0-9a-fA-F]{1,16})", str(error)):
        return int(match[1], 16)
    return _RENAMED.get(name, _SPELLED.get(name.upper()))


@contextmanager
def calling(operation: str) -> Iterator[None]:
    """Turn python-pkcs11's exceptions into CkError."""
    try:
        yield
    except PKCS11Error as error:
        raise CkError(code_of(error), operation, f"{type(error).__name__} {error}".strip()) from error
