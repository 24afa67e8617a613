"""A new key in a token: nothing of that name before, everything right after, or nothing at all."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace

from pkcs11.constants import Attribute, ObjectClass

from device_sdk.errors import ExtractableKeyError, KeyExistsError, KeyStoreError, KeyStoreFailedError, UriError
from device_sdk.keystores.pkcs11.access import KeyName, key_object, verified
from device_sdk.keystores.pkcs11.codes import CkError
from device_sdk.keystores.pkcs11.connection import Connection, Worker
from device_sdk.keystores.pkcs11.login import PinOnce
from device_sdk.keystores.pkcs11.objects import TRUE, TokenObject, is_ec, is_rsa, search
from device_sdk.keystores.pkcs11.operations import sign_anything
from device_sdk.keystores.pkcs11.public import import_id, read_public
from device_sdk.keystores.pkcs11.reading import ReadKey, failed_checks, read_key, refuse_to_reuse
from device_sdk.keystores.pkcs11.templates import generate_pair
from device_sdk.model.keys import KeyType
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

_GRACE_S = 0.3
_VALUES = (Attribute.EC_PARAMS, Attribute.EC_POINT, Attribute.MODULUS)


def create_key(connection: Connection, pins: PinOnce, asked: Pkcs11Uri, key_type: KeyType, *, reuse: bool) -> ReadKey:
    """Make a key pair, read it back in a session of its own, and have it sign.

    What a power cut left of an earlier attempt is removed first. The pair is made with its final attributes; one that
    does not say of itself that it was made here and cannot leave is destroyed.

    Raises:
        KeyExistsError, ExtractableKeyError, UriError, CkError.
    """
    refuse_no_name(asked)
    existing = connection.run(pins, lambda worker: clear_the_way(worker, asked, connection), writable=True)
    if existing is not None:
        return _reused(existing, asked, key_type, reuse=reuse)
    name = KeyName(asked.label or "", asked.key_id or secrets.token_bytes(16))

    def generate(worker: Worker) -> None:
        # Only a second try, after the token was lost in the middle of the first, finds anything here.
        destroy_pair(worker, name)
        generate_pair(worker.session, key_type, label=name.label, key_id=name.key_id, token=True)

    connection.run(pins, generate, writable=True)
    exact = replace(asked, label=name.label or None, key_id=name.key_id)
    try:
        made, works = connection.run(pins, lambda worker: read_back(worker, name, exact, connection))
    except BaseException:
        connection.run(pins, lambda worker: destroy_pair(worker, name), writable=True)
        raise
    bad = failed_checks(made.info)
    if bad or not works or made.info.key_type is not key_type:
        connection.run(pins, lambda worker: destroy_pair(worker, name), writable=True)
        raise unfit(made, bad)
    return made


def refuse_no_name(asked: Pkcs11Uri) -> None:
    """Refuse a URI that names no new key.

    Raises:
        UriError: a token, or another kind of object.
    """
    if not asked.names_object() or asked.object_type not in (None, "private"):
        raise UriError(f"{asked} does not name a new private key", hint="add ;object=LABEL to the URI", uri=str(asked))


def clear_the_way(worker: Worker, asked: Pkcs11Uri, connection: Connection) -> ReadKey | None:
    """Remove what a power cut left of a creation or import; returns the key that has the name, if there is one."""
    sweep_ruins(worker)
    for found in _named(worker, asked, ObjectClass.PRIVATE_KEY):
        read = read_key(worker, found, asked, connection)
        if read.public is not None or not _is_debris(worker, found):
            return read
        worker.cryptoki.destroy(worker.handle, found.handle)
    for found in _named(worker, asked, ObjectClass.PUBLIC_KEY):
        paired = found.key_id and search(worker, ObjectClass.PRIVATE_KEY, key_id=found.key_id)
        if _is_ours(worker, found) and not paired:
            worker.cryptoki.destroy(worker.handle, found.handle)
    return None


def _is_ours(worker: Worker, found: TokenObject) -> bool:
    """Whether a public key was made here, or put here together with a private one; any other is somebody's."""
    if worker.cryptoki.attribute(worker.handle, found.handle, Attribute.LOCAL) == TRUE or _is_ruin(worker, found):
        return True
    public = read_public(worker, found)
    return public is not None and found.key_id == import_id(public)


def _is_debris(worker: Worker, found: TokenObject) -> bool:
    """Whether a private key without a public half is what a power cut left: made here, or nothing yet, and useless."""
    if not (is_ec(found) or is_rsa(found)):
        return False
    local = worker.cryptoki.attribute(worker.handle, found.handle, Attribute.LOCAL) == TRUE
    return (local or _is_ruin(worker, found)) and not _signs(worker, found)


def sweep_ruins(worker: Worker) -> None:
    """Remove keys without name and without value: what SoftHSM leaves when the power goes early enough."""
    ruins = _nameless_ruins(worker)
    if ruins:
        # Another program may just be writing one of them; it needs milliseconds.
        time.sleep(_GRACE_S)
        for handle in ruins & _nameless_ruins(worker):
            worker.cryptoki.destroy(worker.handle, handle)


def _nameless_ruins(worker: Worker) -> set[int]:
    classes = (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
    keys = (found for kind in classes for found in search(worker, kind, broken=True))
    return {found.handle for found in keys if not found.label and not found.key_id and _is_ruin(worker, found)}


def _is_ruin(worker: Worker, found: TokenObject) -> bool:
    """Whether a key has nothing in it that makes a key: no curve and no modulus."""
    if not (is_ec(found) or is_rsa(found) or found.key_type is None):
        return False
    kinds = (Attribute.EC_POINT, Attribute.MODULUS) if found.object_class == ObjectClass.PUBLIC_KEY else _VALUES
    return not any(worker.cryptoki.attributes(worker.handle, found.handle, kinds).values())


def _named(worker: Worker, asked: Pkcs11Uri, object_class: int) -> list[TokenObject]:
    by_label = search(worker, object_class, label=asked.label) if asked.label is not None else []
    by_id = search(worker, object_class, key_id=asked.key_id) if asked.key_id is not None else []
    return list({found.handle: found for found in (*by_label, *by_id)}.values())


def _signs(worker: Worker, found: TokenObject) -> bool:
    """Whether a private key without a public half does anything; such a key may be somebody's and is left alone."""
    try:
        sign_anything(key_object(worker, KeyName.of(found)), found.key_type)
    except CkError:
        worker.spoiled = True
        return False
    return True


def _reused(existing: ReadKey, asked: Pkcs11Uri, key_type: KeyType, *, reuse: bool) -> ReadKey:
    uri = str(asked)
    if not reuse:
        raise KeyExistsError(
            f"a key of that name exists: {existing.info.uri}",
            hint="use it with --reuse, or choose another object=",
            uri=uri,
        )
    fits = (asked.label in (None, existing.found.label)) and asked.key_id in (None, existing.found.key_id)
    if not fits or existing.info.key_type is not key_type:
        kind = existing.info.key_type.value if existing.info.key_type else "of another kind"
        differs = f"is {kind}, not {key_type.value}" if fits else f"is {kind}, and has another object= or id="
        raise KeyExistsError(
            f"the key of that name {differs}: {existing.info.uri}",
            hint="choose another object=, or delete the old key",
            uri=uri,
        )
    refuse_to_reuse(existing.info, asked)  # somebody else's key, perhaps: it is not destroyed
    return existing


def read_back(worker: Worker, name: KeyName, asked: Pkcs11Uri, connection: Connection) -> tuple[ReadKey, bool]:
    """What the token says of the key of that name, and whether it signs what its public half verifies.

    Raises:
        CkError: there is none, or several.
    """
    found = search(worker, ObjectClass.PRIVATE_KEY, label=name.label or None, key_id=name.key_id)
    if len(found) != 1:
        raise CkError(None, "generate", f"{len(found)} new private keys on the token instead of one")
    read = read_key(worker, found[0], asked, connection)
    return read, read.public is not None and verified(key_object(worker, name), read.public)


def destroy_pair(worker: Worker, name: KeyName) -> None:
    """Destroy both halves of a key, those that are there; without an id, of every key of that label."""
    if not name.label and not name.key_id:
        raise ValueError("an empty name would mean every key of the token")
    for object_class in (ObjectClass.PUBLIC_KEY, ObjectClass.PRIVATE_KEY):
        for found in search(worker, object_class, label=name.label or None, key_id=name.key_id or None):
            worker.cryptoki.destroy(worker.handle, found.handle)


def unfit(made: ReadKey, bad: tuple[str, ...], *, destroyed: bool = True) -> KeyStoreError:
    """The error for a key that does not pass; `bad` are the attributes that are not what they have to be."""
    uri = made.info.uri
    what = "the new key was destroyed: " if destroyed else ""
    if bad:
        return ExtractableKeyError(
            f"{uri}: {what}the token does not vouch that it cannot leave ({', '.join(bad)})",
            hint="this token or its settings cannot hold a device key",
            uri=uri,
            attributes=bad,
        )
    return KeyStoreFailedError(
        f"{uri}: {what}it does not do what its public half promises", uri=uri, operation="test the key"
    )
