"""From a PKCS#11 return code to the SDK's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from device_sdk.errors import (
    KeyNotFoundError,
    KeyStoreBusyError,
    KeyStoreError,
    KeyStoreFailedError,
    MechanismUnsupportedError,
    PinIncorrectError,
    PinLockedError,
    PinRequiredError,
    TokenRemovedError,
)
from device_sdk.keystores.pkcs11 import codes
from device_sdk.keystores.pkcs11.codes import CkError, describe

LOCKED_HINT = "the token's security officer can set a new PIN; the lock-out of a TPM ends by itself after a while"
_REMOVED = frozenset({codes.DEVICE_REMOVED, codes.TOKEN_NOT_PRESENT, codes.TOKEN_NOT_RECOGNIZED, codes.SLOT_ID_INVALID})
_HINTS = {
    codes.TOKEN_WRITE_PROTECTED: "the token is write-protected",
    codes.SESSION_READ_ONLY: "the token is write-protected",
    codes.DEVICE_MEMORY: "the token is full: delete a key or certificate",
    codes.PIN_EXPIRED: "set a new PIN with the token's own tool",
    codes.USER_PIN_NOT_INITIALIZED: "the token has no user PIN yet: set one with the token's own tool",
    codes.USER_ANOTHER_ALREADY_LOGGED_IN: "this process is logged in to the token as somebody else",
    codes.ACTION_PROHIBITED: "the object forbids that (CKA_DESTROYABLE, CKA_COPYABLE or CKA_MODIFIABLE)",
    codes.FUNCTION_FAILED: "look into the module's or token's own log",
    codes.GENERAL_ERROR: "look into the module's or token's own log",
}


def failure(error: CkError, uri: str) -> KeyStoreError:
    """The error of the SDK for one return code.

    Args:
        error: what the module answered.
        uri: redacted URI of the token or key.
    """
    code, doing = error.code, f"{uri}: {error.operation}"
    said = describe(code, str(error))
    if code in (codes.PIN_INCORRECT, codes.PIN_INVALID, codes.PIN_LEN_RANGE):
        return PinIncorrectError(f"{uri}: the token refused the PIN", uri=uri, return_code=code)
    if code == codes.PIN_LOCKED:
        return PinLockedError(f"{uri}: the PIN is locked", hint=LOCKED_HINT, uri=uri, return_code=code)
    if code == codes.USER_NOT_LOGGED_IN:
        return PinRequiredError(f"{doing} needs a login", hint="add pin-source= to the URI", uri=uri, return_code=code)
    if code in _REMOVED:
        return TokenRemovedError(f"{doing} failed: the token is gone: {said}", uri=uri, return_code=code)
    if code in (codes.OBJECT_HANDLE_INVALID, codes.KEY_HANDLE_INVALID):
        return KeyNotFoundError(f"{uri}: the key is not on the token any more", uri=uri, return_code=code)
    if code == codes.SESSION_COUNT:
        return KeyStoreBusyError(f"{doing} failed: the token has no session free", uri=uri, return_code=code)
    if code in codes.UNSUPPORTED:
        return MechanismUnsupportedError(
            f"{doing} is not supported by this token: {said}",
            hint="device-sdk keys probe shows what the token can do",
            uri=uri,
            return_code=code,
            mechanism=error.operation,
        )
    return KeyStoreFailedError(
        f"{doing} failed: {said}",
        hint=_HINTS.get(code or 0),
        uri=uri,
        return_code=code,
        operation=error.operation,
        no_room=code == codes.DEVICE_MEMORY or None,
    )


@contextmanager
def reporting(uri: str) -> Iterator[None]:
    """Let no CkError out."""
    try:
        yield
    except CkError as error:
        raise failure(error, uri) from error
