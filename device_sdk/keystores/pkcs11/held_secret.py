"""Symmetric keys that are in a token: found, read back, and used where they are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from pkcs11.constants import Attribute, ObjectClass
from pkcs11.mechanisms import KeyType as CkKeyType
from pkcs11.mechanisms import Mechanism

from device_sdk.errors import ExtractableKeyError, KeyAmbiguousError, KeyNotFoundError, KeyStoreError
from device_sdk.keystores.pkcs11 import codes
from device_sdk.keystores.pkcs11.access import KeyName
from device_sdk.keystores.pkcs11.codes import CkError
from device_sdk.keystores.pkcs11.connection import Connection, Worker
from device_sdk.keystores.pkcs11.connections import Lease
from device_sdk.keystores.pkcs11.failures import reporting
from device_sdk.keystores.pkcs11.foreign import Template
from device_sdk.keystores.pkcs11.login import PinOnce
from device_sdk.keystores.pkcs11.objects import FALSE, TRUE, TokenObject, number, number_of, search
from device_sdk.keystores.pkcs11.secret_keys import USES
from device_sdk.keystores.pkcs11.unwrapping import PADDED_WRAPS
from device_sdk.model.held_key import HeldKey
from device_sdk.model.keys import KeyInfo
from device_sdk.model.secret import SecretProvider
from device_sdk.model.symmetric_keys import KeyUsage
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

T = TypeVar("T")

_SHOWN = {
    "CKA_SENSITIVE": Attribute.SENSITIVE,
    "CKA_EXTRACTABLE": Attribute.EXTRACTABLE,
    "CKA_LOCAL": Attribute.LOCAL,
    "CKA_NEVER_EXTRACTABLE": Attribute.NEVER_EXTRACTABLE,
}
# what was wrapped with another key, or altered; SoftHSM has one answer for whatever goes wrong in there
_WRONG = frozenset(
    {
        codes.ENCRYPTED_DATA_INVALID, codes.ENCRYPTED_DATA_LEN_RANGE, codes.WRAPPED_KEY_INVALID,
        codes.WRAPPED_KEY_LEN_RANGE, codes.GENERAL_ERROR, codes.FUNCTION_FAILED,
    }
)  # fmt: skip
_UNWRAPPED: Template = {
    Attribute.CLASS: number(ObjectClass.SECRET_KEY),
    Attribute.KEY_TYPE: number(CkKeyType.GENERIC_SECRET),
    Attribute.TOKEN: FALSE,
    Attribute.SENSITIVE: FALSE,
    Attribute.EXTRACTABLE: TRUE,
}


def secret_info(worker: Worker, found: TokenObject, asked: Pkcs11Uri, connection: Connection) -> KeyInfo:
    """Read back one symmetric key."""
    said = worker.cryptoki.attributes(worker.handle, found.handle, (*_SHOWN.values(), *USES, Attribute.VALUE_LEN))
    flags: dict[str, bool | int | str] = {
        name: said[kind] == TRUE for name, kind in _SHOWN.items() if said.get(kind) in (TRUE, FALSE)
    }
    uses = sorted({one.value for kind, names in USES.items() if said.get(kind) == TRUE for one in names})
    is_aes = found.key_type == CkKeyType.AES
    return KeyInfo(
        uri=str(_uri(found, asked, connection)),
        keystore="pkcs11",
        key_type=None,
        label=found.label,
        key_id=found.key_id.hex() or None,
        spki_sha256=None,
        hardware=True,
        extractable=flags.get("CKA_EXTRACTABLE") is not False or flags.get("CKA_SENSITIVE") is not True,
        attributes={
            "secret": "AES" if is_aes else "generic",
            "bits": 8 * (number_of(said.get(Attribute.VALUE_LEN)) or 0),
            "usages": ", ".join(uses),
            **flags,
        },
        imported=flags.get("CKA_LOCAL") is not True,
    )


def list_secrets(connection: Connection, pins: PinOnce, asked: Pkcs11Uri) -> tuple[KeyInfo, ...]:
    """The symmetric keys that fit a URI."""

    def read(worker: Worker) -> tuple[KeyInfo, ...]:
        return tuple(secret_info(worker, found, asked, connection) for found in _fitting(worker, asked))

    return connection.run(pins, read)


def open_secret(connection: Connection, pins: PinOnce, asked: Pkcs11Uri) -> KeyInfo:
    """Find exactly one symmetric key that cannot leave the token.

    Raises:
        KeyNotFoundError, KeyAmbiguousError: none or several fit.
        ExtractableKeyError: it can leave.
    """
    info = connection.run(pins, lambda w: secret_info(w, _exactly_one(w, asked, connection), asked, connection))
    if info.extractable:
        bad = tuple(
            name
            for name, right in (("CKA_SENSITIVE", True), ("CKA_EXTRACTABLE", False))
            if info.attributes.get(name) is not right
        )
        raise ExtractableKeyError(
            f"{info.uri}: the key can leave the token ({', '.join(bad)})",
            hint="put it there anew (est symmetrickeys --to, store_keys)",
            uri=info.uri,
            attributes=bad,
        )
    return info


def remove_secret(connection: Connection, pins: PinOnce, asked: Pkcs11Uri) -> KeyInfo:
    """Destroy exactly one symmetric key.

    Raises:
        KeyNotFoundError, KeyAmbiguousError: none or several fit.
    """

    def destroy(worker: Worker) -> KeyInfo:
        found = _exactly_one(worker, asked, connection)
        info = secret_info(worker, found, asked, connection)
        worker.cryptoki.destroy(worker.handle, found.handle)
        return info

    return connection.run(pins, destroy, writable=True)


class TokenSecretKey(HeldKey):
    """A symmetric key in a token.

    Args:
        lease: a hold on the connection, given back by `close`.
        info: what was read back of it.
        asked: its URI, with the PIN if that has one.
        provider: asked for the PIN when a login is needed and the URI names none.
    """

    def __init__(self, lease: Lease, info: KeyInfo, asked: Pkcs11Uri, provider: SecretProvider | None) -> None:
        names = str(info.attributes["usages"])
        usages = frozenset(KeyUsage(one) for one in names.split(", ") if one)
        key_id = bytes.fromhex(info.key_id or "")
        is_aes = info.attributes["secret"] == "AES"  # noqa: S105  # a kind of key
        super().__init__(info.uri, key_id, int(info.attributes["bits"]) // 8, usages, is_aes=is_aes)
        self._lease: Lease | None = lease
        self._asked, self._provider, self._label = asked, provider, info.label

    def close(self) -> None:
        """Give the connection back; closing twice is not an error."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.close()

    def _unwrap(self, wrapped: bytes, *, padded: bool) -> bytes | None:
        mechanisms = PADDED_WRAPS if padded else (int(Mechanism.AES_KEY_WRAP),)

        def unwrap(worker: Worker, key: int) -> bytes | None:
            refused: CkError | None = None
            for mechanism in mechanisms:
                try:
                    return _value(
                        worker, worker.cryptoki.unwrap(worker.handle, (mechanism, b""), key, wrapped, _UNWRAPPED)
                    )
                except CkError as error:
                    refused, worker.spoiled = error, True
                    if error.code in _WRONG:
                        return None
            raise refused or AssertionError("unreachable")

        return self._use(unwrap)

    def _decrypt_cbc(self, vector: bytes, ciphertext: bytes) -> bytes:
        mechanism = (int(Mechanism.AES_CBC), vector)
        return self._use(lambda worker, key: worker.cryptoki.decrypt(worker.handle, mechanism, key, ciphertext))

    def _use(self, operation: Callable[[Worker, int], T]) -> T:
        lease = self._lease
        if lease is None:
            raise KeyStoreError(f"{self.uri}: the key is closed", uri=self.uri)

        def run(worker: Worker) -> T:
            found = search(worker, ObjectClass.SECRET_KEY, label=self._label or None, key_id=self.identifier or None)
            if len(found) != 1:
                raise CkError(codes.OBJECT_HANDLE_INVALID, "C_FindObjects")
            return operation(worker, found[0].handle)

        with reporting(self.uri):
            return lease.connection.run(PinOnce(self._asked, self._provider), run)


def _value(worker: Worker, handle: int) -> bytes:
    """The value of a key that was unwrapped for this session, and goes with it."""
    try:
        value = worker.cryptoki.attribute(worker.handle, handle, Attribute.VALUE)
    finally:
        with suppress(CkError):
            worker.cryptoki.destroy(worker.handle, handle)
    if value is None:
        raise CkError(codes.ATTRIBUTE_SENSITIVE, "read what was unwrapped")
    return value


def _uri(found: TokenObject, asked: Pkcs11Uri, connection: Connection) -> Pkcs11Uri:
    name = KeyName.of(found).uri(connection.name, asked, connection.module.path)
    return replace(name, object_type="secret-key")


def _fitting(worker: Worker, asked: Pkcs11Uri) -> list[TokenObject]:
    return search(worker, ObjectClass.SECRET_KEY, label=asked.label, key_id=asked.key_id)


def _exactly_one(worker: Worker, asked: Pkcs11Uri, connection: Connection) -> TokenObject:
    fitting = _fitting(worker, asked)
    if len(fitting) == 1:
        return fitting[0]
    candidates = tuple(str(replace(_uri(one, Pkcs11Uri(), connection), module_path=None)) for one in fitting)
    if fitting:
        raise KeyAmbiguousError(
            f"{asked}: {len(fitting)} symmetric keys fit: {'; '.join(candidates)}",
            hint="name one by id=",
            uri=str(asked),
            candidates=candidates,
        )
    raise KeyNotFoundError(f"{asked}: no symmetric key fits", hint="device-sdk keys list shows them", uri=str(asked))
