"""The TPM's own numbers: dictionary-attack counters and other properties (TPM 2.0 part 2, 6.13)."""

from __future__ import annotations

from contextlib import suppress
from enum import IntEnum

from tpm2_pytss import ESAPI, TPM2_CAP, TSS2_Exception

from device_sdk.errors import KeyStoreError, PinIncorrectError, PinLockedError
from device_sdk.keystores.tpm2.errors import AUTH_FAIL, base_code


class Property(IntEnum):
    """TPM_PT; tpm2-pytss does not name them all."""

    FAMILY_INDICATOR = 0x100
    REVISION = 0x102
    MANUFACTURER = 0x105
    VENDOR_STRING_1 = 0x106
    VENDOR_STRING_2 = 0x107
    VENDOR_STRING_3 = 0x108
    VENDOR_STRING_4 = 0x109
    FIRMWARE_VERSION_1 = 0x10B
    FIRMWARE_VERSION_2 = 0x10C
    HR_TRANSIENT_MIN = 0x10E
    HR_LOADED_MIN = 0x110
    PERMANENT = 0x200
    HR_PERSISTENT = 0x208
    HR_PERSISTENT_AVAIL = 0x209
    LOCKOUT_COUNTER = 0x20E
    MAX_AUTH_FAIL = 0x20F
    LOCKOUT_INTERVAL = 0x210
    LOCKOUT_RECOVERY = 0x211


def read_property(esys: ESAPI, number: Property) -> int | None:
    """One property, or None if this TPM does not have it."""
    _, data = esys.get_capability(TPM2_CAP.TPM_PROPERTIES, number, 1)
    for item in data.data.tpmProperties:
        if int(item.property) == number:
            return int(item.value)
    return None


def attempts_left(esys: ESAPI) -> int | None:
    """How many wrong authorisations a key under dictionary-attack protection may still see before lockout."""
    most, so_far = read_property(esys, Property.MAX_AUTH_FAIL), read_property(esys, Property.LOCKOUT_COUNTER)
    return None if most is None or so_far is None else max(0, most - so_far)


def with_counters(error: KeyStoreError, return_code: int, esys: ESAPI) -> KeyStoreError:
    """Add what the TPM tells: attempts left after a wrong authorisation, seconds until a lockout ends.

    A key outside dictionary-attack protection (noDA) answers TPM_RC_BAD_AUTH and has no counter.
    """
    with suppress(TSS2_Exception):
        if isinstance(error, PinIncorrectError) and base_code(return_code) == AUTH_FAIL:
            error.attempts_remaining = attempts_left(esys)
        if isinstance(error, PinLockedError):
            error.recover_after_s = read_property(esys, Property.LOCKOUT_INTERVAL)
            error.hint = (
                f"one attempt is given back every {error.recover_after_s} s; the owner of the lockout authorisation "
                "ends it at once: tpm2_dictionarylockout -c"
            )
    return error
