"""Symmetric keys that came from outside go into a token: sensitive, not extractable, for what they are for and nothing else."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace

from pkcs11.constants import Attribute, ObjectClass
from pkcs11.mechanisms import KeyType as CkKeyType

from device_sdk.errors import ExtractableKeyError, KeyExistsError, KeyStoreFailedError, UriError
from device_sdk.keystores.pkcs11.access import KeyName
from device_sdk.keystores.pkcs11.codes import KEY_HANDLE_INVALID, OBJECT_HANDLE_INVALID, CkError
from device_sdk.keystores.pkcs11.connection import Connection, Worker
from device_sdk.keystores.pkcs11.foreign import Template
from device_sdk.keystores.pkcs11.login import PinOnce
from device_sdk.keystores.pkcs11.objects import FALSE, TRUE, number, search
from device_sdk.keystores.pkcs11.templates import REFUSED_TEMPLATE
from device_sdk.model.symmetric_keys import KeyUsage, SymmetricKey
from device_sdk.model.wiping import wiping
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

_MAX_ID_BYTES = 64
_GONE = (OBJECT_HANDLE_INVALID, KEY_HANDLE_INVALID)

USES = {
    Attribute.ENCRYPT: (KeyUsage.ENCRYPT,),
    Attribute.DECRYPT: (KeyUsage.DECRYPT,),
    Attribute.SIGN: (KeyUsage.INTEGRITY, KeyUsage.OTP, KeyUsage.CHALLENGE_RESPONSE),
    Attribute.VERIFY: (KeyUsage.VERIFY,),
    Attribute.WRAP: (KeyUsage.WRAP,),
    Attribute.UNWRAP: (KeyUsage.UNWRAP,),
    Attribute.DERIVE: (KeyUsage.DERIVE,),
}
"""All that a key may be used for in a token. What a template leaves out is true in some modules, so none is left out."""

_KEPT = {Attribute.PRIVATE: TRUE, Attribute.SENSITIVE: TRUE, Attribute.EXTRACTABLE: FALSE}
_WISHES: tuple[Template, ...] = (
    {Attribute.COPYABLE: FALSE, Attribute.MODIFIABLE: FALSE},
    {Attribute.MODIFIABLE: FALSE},
    {},
)


def secret_key_id(key: SymmetricKey) -> bytes:
    """CKA_ID: the key's identifier in UTF-8; SHA-256 of that where it is longer than 64 bytes."""
    encoded = key.key_id.encode()
    return encoded if len(encoded) <= _MAX_ID_BYTES else hashlib.sha256(encoded).digest()


def secret_key_uri(connection: Connection, asked: Pkcs11Uri, key: SymmetricKey) -> str:
    """The canonical URI of a key on a token."""
    name = KeyName(key.label, secret_key_id(key))
    return str(replace(name.uri(connection.name, asked, connection.module.path), object_type="secret-key"))


def require_secret_key_free(connection: Connection, pins: PinOnce, asked: Pkcs11Uri, key: SymmetricKey) -> None:
    """Make sure that the token answers and has no key of this identifier.

    Raises:
        KeyExistsError: it has one.
        UriError: the URI names an object, where the package names the keys.
        CkError, KeyStoreError: the token cannot be used.
    """
    _require_token(asked)
    key_id = secret_key_id(key)
    if connection.run(pins, lambda worker: search(worker, ObjectClass.SECRET_KEY, key_id=key_id)):
        uri = secret_key_uri(connection, asked, key)
        raise KeyExistsError(
            f"a key of that identifier exists: {uri}", hint="--replace puts the new one in its place", uri=uri
        )


def store_secret_key(connection: Connection, pins: PinOnce, asked: Pkcs11Uri, key: SymmetricKey) -> str:
    """Put a key on the token, read back what it says of itself, and remove what had its identifier before.

    The new one is there, and checked, before the old one goes. It is destroyed again if it is not what it has to be.

    Returns:
        Its URI.

    Raises:
        UriError: the URI names an object.
        ExtractableKeyError: it could leave the token, or its value can be read.
        KeyStoreFailedError: it can be used for what it is not for, or not for what it is.
        CkError: the token does not take it.
    """
    _require_token(asked)
    uri = secret_key_uri(connection, asked, key)
    key_id = secret_key_id(key)

    def put(worker: Worker) -> None:
        before = search(worker, ObjectClass.SECRET_KEY, key_id=key_id)
        try:
            _checked(worker, key, key_id, uri)
        except CkError as error:
            if error.code in _GONE:
                raise _not_kept(error, uri) from error
            raise
        for old in before:
            worker.cryptoki.destroy(worker.handle, old.handle)

    connection.run(pins, put, writable=True)
    return uri


def _checked(worker: Worker, key: SymmetricKey, key_id: bytes, uri: str) -> None:
    handle = _created(worker, key, key_id)
    try:
        _check(worker, handle, key, uri)
    except BaseException:
        with suppress(CkError):
            worker.cryptoki.destroy(worker.handle, handle)
        raise


def _not_kept(error: CkError, uri: str) -> KeyStoreFailedError:
    """Some modules say yes to what there is no room for."""
    return KeyStoreFailedError(
        f"{uri}: the token took the key and did not keep it",
        hint="is there room on the token, or on the disk it is on?",
        uri=uri,
        return_code=error.code,
        operation=error.operation,
        no_room=True,
    )


def _require_token(asked: Pkcs11Uri) -> None:
    if asked.names_object():
        raise UriError(
            f"{asked} names an object, and the keys of a package have names of their own",
            hint="leave object= and id= out of the URI",
            uri=str(asked),
        )


def _created(worker: Worker, key: SymmetricKey, key_id: bytes) -> int:
    value = bytearray(key.value.reveal())
    template: Template = {
        Attribute.CLASS: number(ObjectClass.SECRET_KEY),
        Attribute.KEY_TYPE: number(CkKeyType.AES if key.is_aes else CkKeyType.GENERIC_SECRET),
        Attribute.TOKEN: TRUE,
        Attribute.LABEL: key.label.encode(),
        Attribute.ID: key_id,
        **_KEPT,
        **{use: TRUE if _is_wanted(key, use) else FALSE for use in USES},
        Attribute.VALUE: value,
    }
    with wiping(value):
        for wish in _WISHES[:-1]:
            try:
                return worker.cryptoki.create_object(worker.handle, template | wish)
            except CkError as error:
                if error.code not in REFUSED_TEMPLATE:
                    raise
        return worker.cryptoki.create_object(worker.handle, template)


def _check(worker: Worker, handle: int, key: SymmetricKey, uri: str) -> None:
    said = worker.cryptoki.attributes(worker.handle, handle, (*_KEPT, *USES))
    bad = tuple(f"CKA_{Attribute(kind).name}" for kind, wanted in _KEPT.items() if said.get(kind) != wanted)
    if worker.cryptoki.attribute(worker.handle, handle, Attribute.VALUE) is not None:
        bad += ("CKA_VALUE",)
    if bad:
        raise ExtractableKeyError(
            f"{uri}: the token would let the key out ({', '.join(bad)}); it was destroyed", uri=uri, attributes=bad
        )
    wrong = [f"CKA_{use.name}" for use in USES if (said.get(use) == TRUE) is not _is_wanted(key, use)]
    if wrong:
        raise KeyStoreFailedError(
            f"{uri}: the token does not keep to what the key may be used for ({', '.join(wrong)}); it was destroyed",
            uri=uri,
        )


def _is_wanted(key: SymmetricKey, use: Attribute) -> bool:
    return not key.usages.isdisjoint(USES[use])
