"""Tokens, TPMs and key files."""

from __future__ import annotations

from device_sdk.errors.base import DeviceSdkError


class KeyStoreError(DeviceSdkError):
    """A token, a TPM or a key file. `uri` is redacted; `return_code` is the module's or TPM's own number.

    `no_room` is True where it is full, or did not keep what it took.
    """

    code = "keystore"
    exit_code = 3
    uri: str | None = None
    return_code: int | None = None
    no_room: bool | None = None


class TokenNotFoundError(KeyStoreError):
    """No token, TPM or module fits the URI; `candidates` are those present."""

    code = "token-not-found"
    candidates: tuple[str, ...] | None = None


class TokenAmbiguousError(TokenNotFoundError):
    """Several tokens fit the URI; `candidates` tells them apart."""

    code = "token-ambiguous"


class TokenRemovedError(KeyStoreError):
    """The token or TPM went away and did not come back."""

    code = "token-removed"


class KeyNotFoundError(KeyStoreError):
    """No key fits the URI; `candidates` are those there."""

    code = "key-not-found"
    candidates: tuple[str, ...] | None = None


class KeyAmbiguousError(KeyNotFoundError):
    """Several keys fit the URI; `candidates` tells them apart."""

    code = "key-ambiguous"


class KeyExistsError(KeyStoreError):
    """A key of that name is there already."""

    code = "key-exists"


class PinRequiredError(KeyStoreError):
    """The token or key wants a PIN and none was given."""

    code = "pin-required"
    exit_code = 4


class PinIncorrectError(KeyStoreError):
    """The PIN was tried once and refused; `attempts_remaining` where the token tells."""

    code = "pin-incorrect"
    exit_code = 4
    attempts_remaining: int | None = None


class PinLockedError(KeyStoreError):
    """The token or TPM accepts no PIN any more; `recover_after_s` where it tells."""

    code = "pin-locked"
    exit_code = 4
    recover_after_s: int | None = None


class PinRefusedError(KeyStoreError):
    """This PIN was wrong before and was not tried again, so that a restart loop cannot lock the token."""

    code = "pin-refused"
    exit_code = 4


class ExtractableKeyError(KeyStoreError):
    """A key that could leave the hardware; `attributes` are those that failed the check."""

    code = "extractable-key"
    attributes: tuple[str, ...] | None = None


class NotExtractableError(KeyStoreError, TypeError):
    """The private key's value was asked for; it does not leave its keystore."""

    code = "not-extractable"


class MechanismUnsupportedError(KeyStoreError):
    """This token or TPM, or this key, cannot do `mechanism`."""

    code = "mechanism-unsupported"
    mechanism: str | None = None


class KeyStoreBusyError(KeyStoreError):
    """Sessions, object slots or a lock did not come free in time."""

    code = "keystore-busy"


class KeyStoreFailedError(KeyStoreError):
    """The token or TPM answered with an error of its own; `operation` is what was asked of it."""

    code = "keystore-failed"
    operation: str | None = None


class StoreCorruptError(KeyStoreError):
    """An object or a file of the keystore cannot be read."""

    code = "store-corrupt"


class KeyMaterialError(KeyStoreError):
    """A private key that was given for import is not the PKCS#8 structure it has to be, or its two halves do not fit."""

    code = "key-material"
