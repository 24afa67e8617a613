"""A private key that was made elsewhere goes into a token: everything of it, or nothing at all."""

from __future__ import annotations

from dataclasses import replace

from pkcs11.constants import Attribute

from device_sdk.errors import KeyExistsError, MechanismUnsupportedError
from device_sdk.keystores.pkcs11 import codes
from device_sdk.keystores.pkcs11.access import KeyName
from device_sdk.keystores.pkcs11.codes import CkError
from device_sdk.keystores.pkcs11.connection import Connection, Worker
from device_sdk.keystores.pkcs11.creation import (
    clear_the_way,
    destroy_pair,
    read_back,
    refuse_no_name,
    sweep_ruins,
    unfit,
)
from device_sdk.keystores.pkcs11.foreign import Template, private_attributes, private_values, public_attributes
from device_sdk.keystores.pkcs11.login import PinOnce
from device_sdk.keystores.pkcs11.objects import FALSE, TRUE
from device_sdk.keystores.pkcs11.public import import_id
from device_sdk.keystores.pkcs11.reading import ReadKey, refuse_to_open, ways_out
from device_sdk.keystores.pkcs11.templates import REFUSED_TEMPLATE
from device_sdk.keystores.pkcs11.unwrapping import unwrap_private_key
from device_sdk.model.keys import KeyType, PrivateKey, PublicKey
from device_sdk.model.wiping import wiping
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

# Not all modules know these attributes; the first combination that the module takes is used. SoftHSM's C_UnwrapKey takes
# nothing any more after CKA_MODIFIABLE=false.
_PUBLIC_WISHES: tuple[Template, ...] = ({Attribute.WRAP: FALSE, Attribute.MODIFIABLE: FALSE}, {})
_PRIVATE_WISHES: tuple[Template, ...] = (
    {Attribute.UNWRAP: FALSE, Attribute.COPYABLE: FALSE, Attribute.MODIFIABLE: FALSE},
    {Attribute.UNWRAP: FALSE, Attribute.MODIFIABLE: FALSE},
    {},
)
# What has nothing to do with how the key is handed over: the other way would not help.
_NO_USE = (
    codes.SESSION_LOST
    | codes.TOKEN_LOST
    | {codes.TOKEN_WRITE_PROTECTED, codes.SESSION_READ_ONLY, codes.HOST_MEMORY, codes.SESSION_COUNT}
)


def import_key(
    connection: Connection, pins: PinOnce, asked: Pkcs11Uri, material: tuple[PrivateKey, KeyType], *, reuse: bool
) -> ReadKey:
    """Put a key pair on the token, read it back in a session of its own, and have it sign.

    The private half comes last: without it there is no key of that name, and the public half that a power cut left alone
    is known by its id and swept by the next import or creation of that name.

    Args:
        connection: the token.
        pins: gives the PIN.
        asked: names the key.
        material: the key and its type.
        reuse: take the key of that name if it is this one.

    Raises:
        KeyExistsError, ExtractableKeyError, MechanismUnsupportedError, UriError, CkError.
    """
    refuse_no_name(asked)
    key, key_type = material
    public = key.public_key()
    existing = connection.run(pins, lambda worker: clear_the_way(worker, asked, connection), writable=True)
    if existing is not None:
        return _imported_before(connection, pins, existing, (asked, public), reuse=reuse)
    name = KeyName(asked.label or "", asked.key_id or import_id(public))
    exact = replace(asked, label=name.label or None, key_id=name.key_id)

    def put(worker: Worker) -> None:
        # only a second try, after the token was lost in the middle of the first, finds anything here
        destroy_pair(worker, name)
        _put(worker, key, key_type, name, str(exact))

    try:
        connection.run(pins, put, writable=True)
        made, works = connection.run(pins, lambda worker: read_back(worker, name, exact, connection))
        bad = ways_out(made.info)
        if bad or not works or made.public != public:
            raise unfit(made, bad)
    except BaseException:
        connection.run(pins, lambda worker: destroy_pair(worker, name), writable=True)
        raise
    return made


def _imported_before(
    connection: Connection, pins: PinOnce, existing: ReadKey, wanted: tuple[Pkcs11Uri, PublicKey], *, reuse: bool
) -> ReadKey:
    asked, public = wanted
    if not reuse or existing.public != public:
        what = "a key of that name exists" if not reuse else "another key of that name exists"
        hint = "--reuse takes it if it is the same key" if not reuse else "choose another object="
        raise KeyExistsError(f"{what}: {existing.info.uri}", hint=hint, uri=str(asked))
    refuse_to_open(existing.info, asked, allow_imported=True)
    read, works = connection.run(pins, lambda worker: read_back(worker, existing.name, asked, connection))
    if not works:
        raise unfit(read, (), destroyed=False)
    return read


def _put(worker: Worker, key: PrivateKey, key_type: KeyType, name: KeyName, where: str) -> None:
    names: Template = {Attribute.TOKEN: TRUE, Attribute.ID: name.key_id}
    names |= {Attribute.LABEL: name.label.encode()} if name.label else {}
    public = key.public_key()
    try:
        _created(worker, names | public_attributes(public), _PUBLIC_WISHES)
    except CkError as error:
        if error.code in _NO_USE:
            raise  # else: RSA private keys show their public half, and EC keys can be asked for it
    private = names | private_attributes(key_type)
    values = private_values(key)
    with wiping(*(value for value in values.values() if isinstance(value, bytearray))):
        try:
            _created(worker, private | values, _PRIVATE_WISHES)
        except CkError as error:
            if error.code in _NO_USE:
                raise
            refused = error
        else:
            return
    _unwrapped(worker, key, private, (refused, where))


def _unwrapped(worker: Worker, key: PrivateKey, template: Template, refusal: tuple[CkError, str]) -> None:
    refused, where = refusal
    error: CkError | None = None
    try:
        unwrap_private_key(worker, key, [template | wish for wish in _PRIVATE_WISHES])
    except CkError as failed:
        if failed.code in _NO_USE:
            raise
        error = failed
    sweep_ruins(worker)  # SoftHSM leaves one behind each C_UnwrapKey that fails late
    if error is not None:
        raise MechanismUnsupportedError(
            f"{where}: the token takes no such private key from outside: {refused}; {error}",
            hint="make the key in the token: device-sdk keys create",
            uri=where,
            return_code=refused.code,
            mechanism="import",
        ) from error


def _created(worker: Worker, template: Template, wishes: tuple[Template, ...]) -> int:
    """C_CreateObject with the first set of wishes that the module takes."""
    for wish in wishes[:-1]:
        try:
            return worker.cryptoki.create_object(worker.handle, template | wish)
        except CkError as error:
            if error.code not in REFUSED_TEMPLATE:
                raise
    return worker.cryptoki.create_object(worker.handle, template | wishes[-1])
