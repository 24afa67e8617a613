"""From the keys of a package to keys that may be stored: what each may be used for, and for whom it is (K-11)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from device_sdk.errors import KeyPackageRefusedError
from device_sdk.model.symmetric_keys import KeyUsage, SymmetricKey, shown_time
from device_sdk.protocols.key_packages.layers import unaddressed
from device_sdk.wire.key_packages import attributes as pskc
from device_sdk.wire.key_packages.error_codes import PackageFault
from device_sdk.wire.key_packages.symmetric import OneSymmetricKey, SymmetricKeyPackage

_AES = re.compile(r"aes-?(128|192|256)?", re.IGNORECASE)
_AES_BYTES = (16, 24, 32)


_NAMES = {one.value: one for one in KeyUsage}
# words in the algorithm's identifier to what such a key is for, where the package does not say it; the first that fits
_DEFAULTS: tuple[tuple[str, frozenset[KeyUsage]], ...] = (
    ("kw-aes", frozenset({KeyUsage.WRAP, KeyUsage.UNWRAP})),
    ("keywrap", frozenset({KeyUsage.WRAP, KeyUsage.UNWRAP})),
    ("hotp", frozenset({KeyUsage.OTP})),
    ("totp", frozenset({KeyUsage.OTP})),
    ("ocra", frozenset({KeyUsage.CHALLENGE_RESPONSE})),
    ("hmac", frozenset({KeyUsage.INTEGRITY, KeyUsage.VERIFY})),
    ("aes", frozenset({KeyUsage.ENCRYPT, KeyUsage.DECRYPT})),
)


@dataclass(frozen=True)
class KeyRules:
    """What keys are taken for.

    Attributes:
        now: the present.
        device_bindings: the identifiers by which keys may be bound to this device (RFC 6031 section 3.1.1.5).
        require_binding: refuse keys that are bound to no device, as nothing else that is signed says for whom they are.
    """

    now: datetime
    device_bindings: Collection[str] = ()
    require_binding: bool = False


def usable_keys(package: SymmetricKeyPackage, rules: KeyRules) -> tuple[SymmetricKey, ...]:
    """The keys of a package, all of them.

    Raises:
        KeyPackageRefusedError: one that lacks identifier, algorithm or value; that is for another device, or expired; two of
            one identifier; or with limits that nobody here could keep to: an unknown usage, one that no keystore knows, a PIN
            policy, a number of transactions.
    """
    keys = tuple(_usable(one, rules) for one in package.keys)
    if len({one.key_id for one in keys}) != len(keys):
        raise _refused("two keys of one identifier", PackageFault.BAD_KEY_PACKAGE)
    return keys


def _usable(key: OneSymmetricKey, rules: KeyRules) -> SymmetricKey:
    said = key.attributes
    key_id, algorithm = said.text(pskc.KEY_ID), said.text(pskc.ALGORITHM)
    if key_id is None or algorithm is None:
        raise _refused("a key without identifier or algorithm", PackageFault.BAD_ATTRIBUTES)
    if key.value is None:
        raise _refused(f"key {key_id}: it has no value", PackageFault.UNSUPPORTED_SYMMETRIC_KEY_PACKAGE)
    _require_target(key_id, said, rules)
    _require_enforceable(key_id, said, rules)
    return SymmetricKey(
        key_id,
        algorithm,
        _is_aes(key_id, algorithm, len(key.value.reveal())),
        _usages(key_id, algorithm, said.usages),
        key.value,
        said.friendly_name or key_id,
        said.time(pskc.KEY_START),
        said.time(pskc.KEY_EXPIRY),
    )


def _require_target(key_id: str, said: pskc.Attributes, rules: KeyRules) -> None:
    binding = said.text(pskc.DEVICE_BINDING)
    if binding is None and rules.require_binding:
        raise unaddressed(f"key {key_id}")
    if binding is not None and binding not in rules.device_bindings:
        raise _refused(f"key {key_id}: it is bound to another device", PackageFault.INCORRECT_TARGET)


def _require_enforceable(key_id: str, said: pskc.Attributes, rules: KeyRules) -> None:
    for oid, what in ((pskc.PIN_POLICY, "a PIN policy"), (pskc.TRANSACTIONS, "a number of transactions")):
        if oid in said.values:
            raise _refused(f"key {key_id}: {what} cannot be enforced here", PackageFault.CONSTRAINT_VIOLATION)
    expiry = said.time(pskc.KEY_EXPIRY)
    if expiry is not None and expiry <= rules.now:
        raise _refused(f"key {key_id}: it expired on {shown_time(expiry)}", PackageFault.CONSTRAINT_VIOLATION)


def _usages(key_id: str, algorithm: str, said: tuple[str, ...] | None) -> frozenset[KeyUsage]:
    if said is None:
        found = next((usages for word, usages in _DEFAULTS if word in algorithm.lower()), None)
        if found is None:
            raise _refused(
                f"key {key_id}: the package does not say what it may be used for, nor does its algorithm",
                PackageFault.BAD_ATTRIBUTES,
            )
        return found
    unknown = [one for one in said if one not in _NAMES]
    if unknown:
        raise _refused(
            f"key {key_id}: the usage {unknown[0][:64]} cannot be enforced here", PackageFault.CONSTRAINT_VIOLATION
        )
    return frozenset(_NAMES[one] for one in said)


def _is_aes(key_id: str, algorithm: str, length: int) -> bool:
    named = _AES.search(algorithm)
    if named is None:
        return False
    if length not in _AES_BYTES or (named[1] and int(named[1]) != 8 * length):
        raise _refused(
            f"key {key_id}: {8 * length} bits are no key for {algorithm[:128]}", PackageFault.BAD_KEY_PACKAGE
        )
    return True


def _refused(message: str, fault: PackageFault) -> KeyPackageRefusedError:
    return KeyPackageRefusedError(message, fault=fault)
