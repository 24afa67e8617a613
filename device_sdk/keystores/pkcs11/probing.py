"""What a token really can do: a key of every type is made, tried with every operation, and destroyed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11.constants import ObjectClass
from pkcs11.exceptions import PKCS11Error
from pkcs11.mechanisms import KeyType as CkKeyType
from pkcs11.mechanisms import Mechanism

from device_sdk.keystores.pkcs11 import codes
from device_sdk.keystores.pkcs11.access import Access, KeyName
from device_sdk.keystores.pkcs11.codes import CkError, calling
from device_sdk.keystores.pkcs11.connection import Connection, Worker
from device_sdk.keystores.pkcs11.creation import destroy_pair
from device_sdk.keystores.pkcs11.keys import Pkcs11EcKey, Pkcs11RsaKey
from device_sdk.keystores.pkcs11.login import PinOnce
from device_sdk.keystores.pkcs11.objects import TokenObject
from device_sdk.keystores.pkcs11.public import read_public
from device_sdk.keystores.pkcs11.templates import generate_pair
from device_sdk.keystores.pkcs11.tokens import CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY, CKF_WRITE_PROTECTED
from device_sdk.keystores.trial import try_key
from device_sdk.model.keys import KeyInfo, KeyType, Probe
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

T = TypeVar("T")
_LABEL = "device-sdk probe"


def probe_token(connection: Connection, pins: PinOnce) -> Probe:
    """Probe a token.

    The keys are session objects where the token has them; otherwise they are on the token for a moment, under a label
    of their own, and what a power cut leaves of them goes with the next probe.

    Raises:
        KeyStoreError, CkError: the token cannot be reached or does not let us in.
    """
    mechanisms = connection.run(pins, _mechanisms)
    connection.run(pins, lambda worker: destroy_pair(worker, KeyName(_LABEL, b"")), writable=True)
    trials = _Trials(connection, pins)
    for key_type in KeyType:
        mechanism = Mechanism.EC_KEY_PAIR_GEN if key_type.is_ec else Mechanism.RSA_PKCS_KEY_PAIR_GEN
        if mechanism.name in mechanisms:
            trials.add(key_type)
    description, limits, warnings = _about(connection, pins, mechanisms)
    warnings += trials.warnings()
    return Probe("pkcs11", description, tuple(trials.key_types), trials.operations, limits, tuple(warnings))


class _Trials:
    """Keys made one after the other, and what came of it.

    A module may leave objects in its token until the token is full: tpm2-pkcs11 does, in a TPM without a resource
    manager. So when a key cannot be made, one that could be made before is asked for again: if that fails too, there is
    no room any more, and nothing is known about this type and those after it.

    Attributes:
        key_types: those that could be made.
        operations: by name, whether one of the keys could do it.
    """

    def __init__(self, connection: Connection, pins: PinOnce) -> None:
        self._connection, self._pins = connection, pins
        self.key_types: list[KeyType] = []
        self.operations: dict[str, bool] = {}
        self._refused: list[str] = []
        self._unknown: list[KeyType] = []

    def add(self, key_type: KeyType) -> None:
        """Make and try a key of a type."""
        if self._unknown:
            self._unknown.append(key_type)
            return
        tried = self._tried(key_type)
        if isinstance(tried, CkError):
            if self._is_full(tried):
                self._unknown.append(key_type)
            else:
                self._refused.append(f"{key_type.value}: {tried}")
            return
        self.key_types.append(key_type)
        for name, worked in tried.items():
            self.operations[name] = self.operations.get(name, False) or worked

    def warnings(self) -> list[str]:
        """Sentences about the types that could not be made."""
        found = [f"Could not be made for a trial: {item}." for item in self._refused]
        if self._unknown:
            names = ", ".join(key_type.value for key_type in self._unknown)
            found.append(
                f"The token ran out of room for trial keys, so nothing is known about {names}: a TPM without a resource "
                "manager keeps what its module leaves; tpm2_flushcontext -t frees it."
            )
        return found

    def _is_full(self, error: CkError) -> bool:
        if error.code in codes.UNSUPPORTED or not self.key_types:
            return False
        return isinstance(self._tried(self.key_types[0]), CkError)

    def _tried(self, key_type: KeyType) -> dict[str, bool] | CkError:
        try:
            return self._connection.run(self._pins, partial(_try, key_type, self._connection.name.uri()), writable=True)
        except CkError as error:
            if error.code in codes.SESSION_LOST | codes.TOKEN_LOST - {codes.DEVICE_MEMORY}:
                raise
            return error


class _SessionAccess(Access):
    """Access to a key pair that lives only in the session it was made in."""

    def __init__(self, key: Any, uri: Pkcs11Uri) -> None:
        self._key = key
        self.uri, self._text = uri, str(uri)

    def close(self) -> None:
        """The session takes the key with it."""

    def use(self, operation: Callable[[Any, str | None], T]) -> T:
        """Run an operation on the key."""
        return operation(self._key, None)


def _try(key_type: KeyType, uri: Pkcs11Uri, worker: Worker) -> dict[str, bool]:
    worker.spoiled = True  # whatever happens in this session, it is closed, and the keys are gone with it
    name = KeyName(_LABEL, secrets.token_bytes(16))
    public_object, private = _make(worker, key_type, name)
    try:
        kind = CkKeyType.EC if key_type.is_ec else CkKeyType.RSA
        found = TokenObject(public_object.handle, ObjectClass.PUBLIC_KEY, "", b"", int(kind))
        public = read_public(worker, found)
        if public is None:
            raise CkError(None, "generate", "the public half of a session key cannot be read")
        info = KeyInfo(str(uri), "pkcs11", key_type, "probe", None, None, hardware=True, extractable=False)
        access = _SessionAccess(private, uri)
        key: Pkcs11EcKey | Pkcs11RsaKey
        if isinstance(public, ec.EllipticCurvePublicKey):
            key = Pkcs11EcKey(access, info, public)
        else:
            key = Pkcs11RsaKey(access, info, public)
        return dict(try_key(key))
    finally:
        for item in (public_object, private):
            with suppress(PKCS11Error):
                item.destroy()
        destroy_pair(worker, name)


def _make(worker: Worker, key_type: KeyType, name: KeyName) -> tuple[Any, Any]:
    try:
        return generate_pair(worker.session, key_type, label=name.label, key_id=name.key_id, token=False)
    except CkError as error:
        if error.code not in (codes.ATTRIBUTE_VALUE_INVALID, codes.TEMPLATE_INCONSISTENT):
            raise
    return generate_pair(worker.session, key_type, label=name.label, key_id=name.key_id, token=True)


def _mechanisms(worker: Worker) -> set[str]:
    with calling("C_GetMechanismList"):
        found = worker.login.found.token.slot.get_mechanisms()
    return {item.name if isinstance(item, Mechanism) else f"0x{item:x}" for item in found}


def about_token(connection: Connection, pins: PinOnce) -> dict[str, str]:
    """What a token says of itself; raises as probe_token."""
    name, firmware = connection.name, connection.status(pins).firmware
    return {
        "label": name.label,
        "manufacturer": name.manufacturer,
        "model": name.model,
        "serial": name.serial,
        "firmware": ".".join(map(str, firmware)),
    }


def _about(
    connection: Connection, pins: PinOnce, mechanisms: set[str]
) -> tuple[dict[str, str], dict[str, int], list[str]]:
    library = connection.run(pins, lambda worker: worker.cryptoki.library_info())
    status = connection.status(pins)
    description = about_token(connection, pins) | {
        "module": connection.module.path,
        "library": f"{library.description} {'.'.join(map(str, library.version))}, {library.manufacturer}",
        "mechanisms": " ".join(sorted(mechanisms)),
    }
    limits = {"max_sessions": status.max_sessions} if status.max_sessions is not None else {}
    warnings = []
    if status.flags & CKF_USER_PIN_COUNT_LOW:
        warnings.append("A wrong PIN was entered since the last right one.")
    if status.flags & CKF_USER_PIN_FINAL_TRY:
        warnings.append("One more wrong PIN locks the token.")
    if status.flags & CKF_WRITE_PROTECTED:
        warnings.append("The token is write-protected: no key can be created.")
    return description, limits, warnings
