"""Objects on a token: finding them, and what they say of themselves."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pkcs11.constants import Attribute, ObjectClass
from pkcs11.mechanisms import KeyType as CkKeyType

from device_sdk.keystores.pkcs11 import codes
from device_sdk.keystores.pkcs11.codes import CkError
from device_sdk.keystores.pkcs11.connection import Worker
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

TRUE, FALSE = b"\1", b"\0"

CHECKED = {
    "CKA_SENSITIVE": (Attribute.SENSITIVE, True),
    "CKA_EXTRACTABLE": (Attribute.EXTRACTABLE, False),
    "CKA_NEVER_EXTRACTABLE": (Attribute.NEVER_EXTRACTABLE, True),
    "CKA_ALWAYS_SENSITIVE": (Attribute.ALWAYS_SENSITIVE, True),
    "CKA_LOCAL": (Attribute.LOCAL, True),
}
"""What a key born in the token has to say of itself, by PKCS#11's names."""

_SHOWN = {name: kind for name, (kind, _) in CHECKED.items()} | {
    "CKA_PRIVATE": Attribute.PRIVATE,
    "CKA_MODIFIABLE": Attribute.MODIFIABLE,
    "CKA_COPYABLE": Attribute.COPYABLE,
    "CKA_ALWAYS_AUTHENTICATE": Attribute.ALWAYS_AUTHENTICATE,
    "CKA_SIGN": Attribute.SIGN,
    "CKA_DECRYPT": Attribute.DECRYPT,
    "CKA_DERIVE": Attribute.DERIVE,
}


def number(value: int) -> bytes:
    """A CK_ULONG as an attribute's value."""
    return struct.pack("L", value)


def number_of(value: bytes | None) -> int | None:
    """An attribute's value as a number, or None if it is none."""
    return int(struct.unpack("L", value)[0]) if value is not None and len(value) == struct.calcsize("L") else None


@dataclass(frozen=True)
class TokenObject:
    """One object: what names it, and whether it is a key.

    Attributes:
        handle: good in this session, and only until the token is lost.
        object_class: CKA_CLASS.
        label: CKA_LABEL; empty if it has none or it is not UTF-8.
        key_id: CKA_ID; empty if it has none.
        key_type: CKA_KEY_TYPE, or None.
    """

    handle: int
    object_class: int
    label: str
    key_id: bytes
    key_type: int | None


def search(
    worker: Worker, object_class: int, *, label: str | None = None, key_id: bytes | None = None, broken: bool = False
) -> list[TokenObject]:
    """Token objects of one class with this label and id; None matches all.

    Args:
        worker: the session.
        object_class: CKA_CLASS.
        label: CKA_LABEL.
        key_id: CKA_ID.
        broken: also objects that do not say that they are on the token; session objects are among them.
    """
    template = {Attribute.CLASS: number(object_class)}
    template |= {} if broken else {Attribute.TOKEN: TRUE}
    if label is not None:
        template[Attribute.LABEL] = label.encode()
    if key_id is not None:
        template[Attribute.ID] = key_id
    found = (_describe(worker, handle, object_class) for handle in worker.cryptoki.find(worker.handle, template))
    return [item for item in found if item is not None]


def _describe(worker: Worker, handle: int, object_class: int) -> TokenObject | None:
    kinds = (Attribute.LABEL, Attribute.ID, Attribute.KEY_TYPE)
    try:
        values = worker.cryptoki.attributes(worker.handle, handle, kinds)
    except CkError as error:
        if error.code == codes.OBJECT_HANDLE_INVALID:
            return None  # another process has just destroyed it
        raise
    try:
        label = values.get(Attribute.LABEL, b"").decode()
    except UnicodeDecodeError:
        label = ""
    return TokenObject(
        handle, object_class, label, values.get(Attribute.ID, b""), number_of(values.get(Attribute.KEY_TYPE))
    )


def private_keys(worker: Worker, uri: Pkcs11Uri) -> list[TokenObject]:
    """The EC, RSA and other private keys that fit a URI."""
    return search(worker, ObjectClass.PRIVATE_KEY, label=uri.label, key_id=uri.key_id)


def flags_of(worker: Worker, handle: int) -> dict[str, bool | int | str]:
    """The attributes that say what may be done with a private key, by PKCS#11's names; those it has."""
    values = worker.cryptoki.attributes(worker.handle, handle, _SHOWN.values())
    return {name: values[kind] == TRUE for name, kind in _SHOWN.items() if kind in values}


def is_ec(found: TokenObject) -> bool:
    """Whether this is an elliptic curve key."""
    return found.key_type == int(CkKeyType.EC)


def is_rsa(found: TokenObject) -> bool:
    """Whether this is an RSA key."""
    return found.key_type == int(CkKeyType.RSA)
