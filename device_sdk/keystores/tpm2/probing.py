"""What a TPM really can do: every key type made, every operation tried, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from device_sdk.errors import (
    KeyStoreBusyError,
    KeyStoreError,
    MechanismUnsupportedError,
    TokenNotFoundError,
    TokenRemovedError,
)
from device_sdk.keystores.tpm2.context import Tpm, loaded_objects
from device_sdk.keystores.tpm2.counters import Property, read_property
from device_sdk.keystores.tpm2.creation import make_key
from device_sdk.keystores.tpm2.ec_key import TpmEcKey
from device_sdk.keystores.tpm2.held import Held
from device_sdk.keystores.tpm2.inventory import area_in_file, persistent_handles
from device_sdk.keystores.tpm2.material import FileMaterial
from device_sdk.keystores.tpm2.rsa_key import TpmRsaKey
from device_sdk.keystores.tpm2.scope import Scope
from device_sdk.keystores.tpm2.srk import SRK_HANDLE, persistent_srk
from device_sdk.keystores.tpm2.templates import PublicArea
from device_sdk.model.keys import KeyInfo, KeyType, Probe

_MESSAGE = b"device-sdk probe"
_HASHES = (hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512())  # noqa: S303  # tried, not relied upon
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
        KeyStoreError: the TPM cannot be reached, or no key can be made at all.
    """
    description, limits, warnings = tpm.run("tell about itself", _about, where=where, deadline_s=deadline_s)
    operations: dict[str, bool] = {}
    key_types = []
    for key_type in KeyType:
        try:
            with _temporary_key(tpm, key_type, where, deadline_s) as key:
                tried = _try_ec(key) if isinstance(key, TpmEcKey) else _try_rsa(key)
                for name, worked in tried:
                    operations[name] = operations.get(name, False) or worked
        except MechanismUnsupportedError:
            continue
        key_types.append(key_type)
    return Probe("tpm2", {"tcti": tpm.tcti} | description, tuple(key_types), operations, limits, warnings)


def _about(scope: Scope) -> tuple[dict[str, str], dict[str, int], tuple[str, ...]]:
    def number(name: Property) -> int:
        return read_property(scope.esys, name) or 0

    vendor = (Property.VENDOR_STRING_1, Property.VENDOR_STRING_2, Property.VENDOR_STRING_3, Property.VENDOR_STRING_4)
    first, second = number(Property.FIRMWARE_VERSION_1), number(Property.FIRMWARE_VERSION_2)
    revision = number(Property.REVISION)
    description = {
        "manufacturer": _text(number(Property.MANUFACTURER)),
        "vendor": "".join(_text(number(name)) for name in vendor).strip(),
        "firmware": f"{first >> 16}.{first & 0xFFFF}.{second >> 16}.{second & 0xFFFF}",
        "specification": f"{_text(number(Property.FAMILY_INDICATOR))} revision {revision // 100}.{revision % 100:02d}",
    }
    limits = {name: value for name, item in _LIMITS.items() if (value := read_property(scope.esys, item)) is not None}
    limits["transient_loaded"] = len(loaded_objects(scope.esys))
    return description, limits, _warnings(scope, limits, number(Property.PERMANENT))


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


def _try_ec(key: TpmEcKey) -> Iterator[tuple[str, bool]]:
    public = key.public_key()
    for algorithm in _HASHES:

        def signed(algorithm: hashes.HashAlgorithm = algorithm) -> bool:
            public.verify(key.sign(_MESSAGE, ec.ECDSA(algorithm)), _MESSAGE, ec.ECDSA(algorithm))
            return True

        yield f"sign-ecdsa-{algorithm.name}", _works(signed)
    peer = ec.generate_private_key(key.curve)
    agreed = _works(lambda: key.exchange(ec.ECDH(), peer.public_key()) == peer.exchange(ec.ECDH(), public))
    yield "ecdh", agreed


def _try_rsa(key: TpmRsaKey) -> Iterator[tuple[str, bool]]:
    public = key.public_key()
    for algorithm in _HASHES:
        pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH)
        oaep = padding.OAEP(padding.MGF1(algorithm), algorithm, None)
        yield f"sign-pkcs1-{algorithm.name}", _works(_signs(key, public, padding.PKCS1v15(), algorithm))
        yield f"sign-pss-{algorithm.name}", _works(_signs(key, public, pss, algorithm))
        yield f"decrypt-oaep-{algorithm.name}", _works(_decrypts(key, public, oaep))
    yield "decrypt-pkcs1", _works(_decrypts(key, public, padding.PKCS1v15()))


def _signs(
    key: TpmRsaKey, public: rsa.RSAPublicKey, scheme: padding.AsymmetricPadding, algorithm: hashes.HashAlgorithm
) -> Callable[[], bool]:
    def signed() -> bool:
        public.verify(key.sign(_MESSAGE, scheme, algorithm), _MESSAGE, scheme, algorithm)
        return True

    return signed


def _decrypts(key: TpmRsaKey, public: rsa.RSAPublicKey, scheme: padding.AsymmetricPadding) -> Callable[[], bool]:
    return lambda: key.decrypt(public.encrypt(_MESSAGE, scheme), scheme) == _MESSAGE


def _works(attempt: Callable[[], bool]) -> bool:
    """Whether an operation does what it should; a TPM that is gone or busy is no answer.

    Raises:
        KeyStoreError: the TPM went away or stayed busy.
    """
    try:
        return attempt()
    except (TokenNotFoundError, TokenRemovedError, KeyStoreBusyError):
        raise
    except (KeyStoreError, InvalidSignature, ValueError):
        return False
