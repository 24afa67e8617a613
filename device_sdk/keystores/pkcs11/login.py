"""Presenting a PIN to a token: once, and never when that could lock it."""

from __future__ import annotations

import os

from device_sdk.errors import KeyStoreError, PinIncorrectError, PinLockedError, PinRefusedError, PinRequiredError
from device_sdk.keystores.pin_guard import PinGuard
from device_sdk.keystores.pin_source import resolve_pin
from device_sdk.keystores.pkcs11 import codes
from device_sdk.keystores.pkcs11.codes import CkError
from device_sdk.keystores.pkcs11.cryptoki import Cryptoki, TokenStatus
from device_sdk.keystores.pkcs11.failures import LOCKED_HINT, failure
from device_sdk.keystores.pkcs11.tokens import (
    CKF_LOGIN_REQUIRED,
    CKF_PROTECTED_AUTHENTICATION_PATH,
    CKF_USER_PIN_COUNT_LOW,
    CKF_USER_PIN_FINAL_TRY,
    CKF_USER_PIN_LOCKED,
    TokenName,
)
from device_sdk.model.secret import Secret, SecretProvider
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

FINAL_TRY_VARIABLE = "DEVICE_SDK_USE_FINAL_PIN_TRY"
"""Set to 1 it allows the try after which a wrong PIN locks the token."""

_REFUSALS = frozenset({codes.PIN_INCORRECT, codes.PIN_INVALID, codes.PIN_LEN_RANGE})
_COUNTERS = CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED


class PinOnce:
    """The PIN for one operation: asked for when it is first needed, not asked for twice, gone with the operation.

    Args:
        uri: says where the PIN is.
        provider: asked when the URI does not.
    """

    def __init__(self, uri: Pkcs11Uri, provider: SecretProvider | None) -> None:
        self.uri = uri
        self._provider = provider
        self._known: Secret | None = None

    def get(self, label: str) -> Secret | None:
        """The PIN of the token with this label, or None if there is none to have."""
        if self._known is None:
            self._known = resolve_pin(self.uri, self._provider, f"token {label}")
        return self._known


def log_in(cryptoki: Cryptoki, session: int, slot_id: int, name: TokenName, pins: PinOnce) -> bool:
    """Log in as user, unless the token wants no login.

    Returns:
        Whether it was this call that logged in; if not, somebody in this process had done so, or it is not needed.

    Raises:
        PinRequiredError: the token wants a PIN and there is none.
        PinRefusedError: the PIN was wrong before, or one more wrong one would lock the token.
        PinIncorrectError, PinLockedError: what the token said of the PIN.
        CkError: everything else; nothing was learnt about the PIN then.
    """
    before = cryptoki.token_status(slot_id)
    if not before.flags & CKF_LOGIN_REQUIRED:
        return False
    uri = str(pins.uri)
    _refuse_risk(before, uri)
    pin = pins.get(name.label)
    if pin is None and not before.flags & CKF_PROTECTED_AUTHENTICATION_PATH:
        raise PinRequiredError(
            f"{uri}: token {name.label} wants a PIN", hint="add pin-source=file:... to the URI", uri=uri
        )
    guard = PinGuard()
    if pin is not None:
        guard.check(name.identity, pin, uri)
    try:
        cryptoki.login(session, pin)
    except CkError as error:
        if error.code == codes.USER_ALREADY_LOGGED_IN:
            return False
        after = cryptoki.token_status(slot_id)
        if error.code in _REFUSALS:
            if pin is not None:
                guard.refuse(name.identity, pin)
            raise _refused(error, after, uri) from error
        if error.code == codes.PIN_LOCKED or after.flags & ~before.flags & _COUNTERS:
            # Whatever the code says, the token has counted: trying again could lock it.
            raise failure(error, uri) from error
        raise
    guard.clear(name.identity)
    return True


def _refuse_risk(status: TokenStatus, uri: str) -> None:
    if status.flags & CKF_USER_PIN_LOCKED:
        raise PinLockedError(f"{uri}: the PIN is locked", hint=LOCKED_HINT, uri=uri)
    if status.flags & CKF_USER_PIN_FINAL_TRY and os.environ.get(FINAL_TRY_VARIABLE) != "1":
        raise PinRefusedError(
            f"{uri}: one more wrong PIN locks the token, so none was tried",
            hint="log in once with the right PIN by the token's own tool (pkcs11-tool --login --test), "
            f"or set {FINAL_TRY_VARIABLE}=1",
            uri=uri,
        )


def _refused(error: CkError, status: TokenStatus, uri: str) -> KeyStoreError:
    if status.flags & CKF_USER_PIN_LOCKED:
        left, words = 0, ", and is locked now"
    elif status.flags & CKF_USER_PIN_FINAL_TRY:
        left, words = 1, "; one try is left before it locks"
    else:
        left, words = None, "; the token does not say how many tries are left"
    return PinIncorrectError(
        f"{uri}: the token refused the PIN{words}",
        hint="it was tried once and will not be tried again",
        uri=uri,
        return_code=error.code,
        attempts_remaining=left,
    )
