"""What a TPM really can do: every key type made, every operation tried, nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from device_sdk.errors import KeyStoreError, MechanismUnsupportedError, TokenNotFoundError, TokenRemovedError
from device_sdk.keystores.tpm2.context import Tpm, loaded_objects
from device_sdk.keystores.tpm2.counters import Property, read_property
from device_sdk.keystores.tpm2.creation import make_key
from device_sdk.keystores.tpm2.ec_key import TpmEcKey
from device_sdk.keystores.tpm2.held import Held
from device_sdk.keystores.tpm2.inventory import area_in_file, persistent_handles
from device_sdk.keystores.tpm2.material import FileMaterial
from device_sdk.keystores.tpm2.rsa_key import TpmRsaKey
from device_sdk.keystores.tpm2.scope import Scope
from device_sdk.keystores.tpm2.sealing import decrypts_in_the_tpm
from device_sdk.keystores.tpm2.srk import SRK_HANDLE, persistent_srk
from device_sdk.keystores.tpm2.templates import PublicArea
from device_sdk.keystores.trial import try_key
from device_sdk.model.keys import KeyInfo, KeyType, Probe

_LIMITS = {
    "transient_slots": Property.HR_TRANSIENT_MIN,
    "session_slots": Property.HR_LOADED_MIN,
    "persistent_used": Property.HR_PERSISTENT,
    "persistent_free": Property.HR_PERSISTENT_AVAIL,
    "max_auth_fail": Property.MAX_AUTH_FAIL,
    "lockout_counter": Property.LOCKOUT_COUNTER,
    "lockout_interval_s": Property.LOCKOUT_INTERVAL,
    "lockout_recovery_s": Property.LOCKOUT_RECOVERY,
}
_OWNER_AUTH_SET, _IN_LOCKOUT = 1 << 0, 1 << 9  # TPMA_PERMANENT, TPM 2.0 part 2, 8.6


def probe_tpm(tpm: Tpm, where: str, deadline_s: float) -> Probe:
    """Probe a TPM.

    Raises:
        KeyStoreError: the TPM cannot be reached. That no key can be made just now is a warning of the result.
    """
    description, limits, warnings = tpm.run("tell about itself", _about, where=where, deadline_s=deadline_s)
    operations: dict[str, bool] = {}
    key_types = []
    for key_type in KeyType:
        try:
            with _temporary_key(tpm, key_type, where, deadline_s) as key:
                for name, worked in try_key(key):
                    operations[name] = operations.get(name, False) or worked
        except MechanismUnsupportedError:
            continue
        except (TokenNotFoundError, TokenRemovedError):
            raise
        except KeyStoreError as error:
            warnings = (*warnings, str(error))
            break
        key_types.append(key_type)
    if key_types:  # else it has no room, or no parent, for others either
        for size in (16, 32):
            operations[f"decrypt-aes-{8 * size}-cbc"] = tpm.run(
                "try AES", partial(decrypts_in_the_tpm, key_bytes=size), where=where, deadline_s=deadline_s
            )
    return Probe("tpm2", {"tcti": tpm.tcti} | description, tuple(key_types), operations, limits, warnings)


def about_tpm(scope: Scope) -> dict[str, str]:
    """What a TPM says of itself: manufacturer, vendor, firmware, specification."""

    def number(name: Property) -> int:
        return read_property(scope.esys, name) or 0

    vendor = (Property.VENDOR_STRING_1, Property.VENDOR_STRING_2, Property.VENDOR_STRING_3, Property.VENDOR_STRING_4)
    first, second = number(Property.FIRMWARE_VERSION_1), number(Property.FIRMWARE_VERSION_2)
    revision = number(Property.REVISION)
    return {
        "manufacturer": _text(number(Property.MANUFACTURER)),
        "vendor": "".join(_text(number(name)) for name in vendor).strip(),
        "firmware": f"{first >> 16}.{first & 0xFFFF}.{second >> 16}.{second & 0xFFFF}",
        "specification": f"{_text(number(Property.FAMILY_INDICATOR))} revision {revision // 100}.{revision % 100:02d}",
    }


def _about(scope: Scope) -> tuple[dict[str, str], dict[str, int], tuple[str, ...]]:
    description = about_tpm(scope)
    limits = {name: value for name, item in _LIMITS.items() if (value := read_property(scope.esys, item)) is not None}
    limits["transient_loaded"] = len(loaded_objects(scope.esys))
    return description, limits, _warnings(scope, limits, read_property(scope.esys, Property.PERMANENT) or 0)


def _warnings(scope: Scope, limits: dict[str, int], permanent: int) -> tuple[str, ...]:
    found = []
    if permanent & _IN_LOCKOUT:
        found.append("The TPM is in dictionary-attack lockout: keys without noDA cannot be used.")
    if limits["transient_loaded"]:
        count, slots = limits["transient_loaded"], limits.get("transient_slots", 3)
        found.append(f"{count} of {slots} object slots hold other programs' objects: tpm2_flushcontext -t frees them.")
    if limits.get("persistent_free") == 0:
        found.append("There is no room for another persistent key; key files need none.")
    occupied = SRK_HANDLE in persistent_handles(scope)
    standard = persistent_srk(scope) is not None if occupied else False
    if permanent & _OWNER_AUTH_SET and not standard:
        found.append("The owner hierarchy has an authorisation value and no standard ECC storage key is at 0x81000001.")
    elif occupied and not standard:
        found.append("The key at 0x81000001 does not follow the standard ECC template and is not used as a parent.")
    return tuple(found)


def _text(value: int) -> str:
    """Four characters in a property (TPM 2.0 part 2, 6.13), as far as they can be printed."""
    return "".join(chr(byte) for byte in value.to_bytes(4, "big") if 0x20 <= byte < 0x7F)


@contextmanager
def _temporary_key(tpm: Tpm, key_type: KeyType, where: str, deadline_s: float) -> Iterator[TpmEcKey | TpmRsaKey]:
    """A key that only exists while it is used: its wrapped form is kept in memory and then dropped."""
    made = tpm.run(
        f"make a {key_type.value} key",
        lambda scope: make_key(scope, key_type, b"", where),
        where=where,
        deadline_s=deadline_s,
    )
    area = area_in_file(made, where)
    held = Held(tpm, FileMaterial(made), None, where, deadline_s)
    key: TpmEcKey | TpmRsaKey
    key = TpmEcKey(held, area, _info(area, where)) if key_type.is_ec else TpmRsaKey(held, area, _info(area, where))
    with key:
        yield key


def _info(area: PublicArea, where: str) -> KeyInfo:
    return KeyInfo(where, "tpm2", area.key_type, "probe", None, None, hardware=True, extractable=False)
