"""Which keys are ours: only what is proved to be is gone on with or destroyed; a name proves nothing."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.client.device.context import Context
from device_sdk.errors import (
    DeviceSdkError,
    ExtractableKeyError,
    KeyExistsError,
    KeyNotFoundError,
    MechanismUnsupportedError,
    PinIncorrectError,
    PinRequiredError,
    StateError,
    StoreCorruptError,
)
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.keys import KeyInfo, KeyType, PublicKey
from device_sdk.state import CaleJournal, DeviceState, IdentityRecord, Journal, Phase

AnyJournal = TypeVar("AnyJournal", Journal, CaleJournal)

_KEY_ID_BYTES = 16
_UNREADABLE = (
    ExtractableKeyError,
    KeyNotFoundError,
    MechanismUnsupportedError,
    PinIncorrectError,
    PinRequiredError,
    StoreCorruptError,
)


def certified_sha256(context: Context, record: IdentityRecord) -> str:
    """SHA-256 of the SubjectPublicKeyInfo that a pair's certificate is for, hex."""
    return spki_sha256(context.state.chain(record.certificate)[0])


def replaced_sha256(context: Context, record: IdentityRecord | None) -> str | None:
    """The same for the pair that is to be replaced; None if its certificate cannot be read: then its key stays."""
    try:
        return None if record is None else certified_sha256(context, record)
    except StateError:
        return None


def spki_sha256(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate's SubjectPublicKeyInfo, hex."""
    return _sha256(certificate.public_key())


def _sha256(public: CertificatePublicKeyTypes) -> str:
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def is_unborn(journal: Journal | CaleJournal) -> bool:
    """Whether no run came so far as to make the journal's key: whatever has its name is somebody else's."""
    return journal.created_here and journal.phase is Phase.REQUEST and journal.key_sha256 is None


def foreign(uri: str) -> KeyExistsError:
    """The error for a key under our name that is not proved to be ours."""
    return KeyExistsError(
        f"{uri}: there is a key of that name, and nothing proves that it is the one made here; it was left as it is",
        hint="look whose it is; then delete it, or allow its reuse (--reuse), or give the new key another name (--key)",
        uri=uri,
    )


def is_made(journal: Journal, state: DeviceState) -> bool:
    """Whether the journal's key exists, as far as is written down: made by an earlier run, there before, or in use."""
    in_use = {record.key_uri for record in (state.current, *state.previous) if record}
    return journal.key_sha256 is not None or not journal.created_here or journal.key_uri in in_use


def open_journaled(context: Context, journal: Journal, state: DeviceState) -> DeviceKey:
    """Open the key that a journal is about; none is made, and none destroyed. The caller closes it.

    Raises:
        KeyExistsError: the key of that name is not the one that was made, or that is in use.
        KeyStoreError: it cannot be opened.
    """
    records = {record.key_uri: record for record in (state.current, *state.previous) if record}
    record, known = records.get(journal.key_uri), journal.key_sha256
    if known is None and record is not None and journal.created_here:
        known = certified_sha256(context, record)
    uri = _exact(context.resolved(journal.key_uri), journal)
    key = context.open_key(uri, made_here=journal.created_here and record is None)
    if known not in (None, key.info.spki_sha256):
        key.close()
        raise foreign(journal.key_uri)
    return key


def make_key(context: Context, journal: AnyJournal, uri: KeyUri, key_type: KeyType) -> tuple[DeviceKey, AnyJournal]:
    """The journal's key: made now, or found made by an earlier run.

    Each step is on disk before the next: the name is free and the key's random identifier chosen (phase CREATING); where
    keys have no identifier, its public key is in the journal; the key has its name; that it has. A key of ours that is of another type than is wanted now is
    replaced.

    Raises:
        KeyExistsError: there is a key of that name that is not proved to be ours; it was not touched.
    """
    found = _made_before(context, journal, uri, key_type)
    if found is not None:
        return found, _recorded(context, journal, found)
    journal = _announced(context, journal, uri)

    def announce(public: PublicKey) -> None:
        context.state.write_journal(replace(journal, key_sha256=_sha256(public)))

    try:
        made = context.create_key(_exact(uri, journal), key_type, announce=announce)
    except DeviceSdkError as error:
        _withdraw(context, journal, uri, taken=isinstance(error, KeyExistsError))
        raise
    return made, _recorded(context, journal, made)


def delete_own(context: Context, uri: str, *, sha256: str | None = None, key_id: str | None = None) -> bool:
    """Destroy the keys of that name that have this public key or this random identifier, and no other.

    Returns:
        Whether nothing of that name is left; what is left is not proved to be ours.

    Raises:
        KeyStoreError: the keystore cannot be asked, or the key not be destroyed.
    """
    left = False
    for info in context.keys(uri):
        if _is_own(context, uri, info, sha256, key_id):
            with suppress(KeyNotFoundError):
                context.delete_key(_one(context, uri, info))
        else:
            left = True
    return not left


def _is_own(context: Context, uri: str, info: KeyInfo, sha256: str | None, key_id: str | None) -> bool:
    found = info.spki_sha256 if sha256 is None else listed_sha256(context, uri, info)
    if found is not None and sha256 is not None:
        return found == sha256
    return key_id is not None and info.key_id == key_id


def listed_sha256(context: Context, uri: str, info: KeyInfo) -> str | None:
    """SHA-256 of the SubjectPublicKeyInfo of a key that was listed, hex; None if it does not even open.

    Raises:
        KeyStoreError: the keystore cannot be asked.
    """
    found = info.spki_sha256
    if found is None:
        with suppress(*_UNREADABLE), context.open_key(_one(context, uri, info)) as key:
            found = key.info.spki_sha256
    return found


def _one(context: Context, uri: str, info: KeyInfo) -> KeyUri:
    """Exactly this key, reached the way `uri` says."""
    from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

    parsed = context.resolved(uri)
    if not isinstance(parsed, Pkcs11Uri):
        return parsed
    return replace(parsed, key_id=bytes.fromhex(info.key_id) if info.key_id else parsed.key_id)


def _made_before(context: Context, journal: Journal | CaleJournal, uri: KeyUri, key_type: KeyType) -> DeviceKey | None:
    """The key an earlier run made, if there is one of the right type; ours of another type is gone afterwards."""
    from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

    if journal.key_sha256 is None and journal.phase is not Phase.CREATING:
        return None
    if journal.key_sha256 is None and journal.key_id is None:
        return _adopted(context, uri, key_type) if isinstance(uri, Pkcs11Uri) else None
    # Half a key, of which only the identifier is there, opens for nobody; the keystore knows to tidy it up.
    with suppress(*_UNREADABLE):
        key = context.open_key(_exact(uri, journal), made_here=True)
        ours = journal.key_sha256 in (None, key.info.spki_sha256)
        if ours and key.info.key_type is key_type:
            return key
        key.close()
    delete_own(context, str(uri), sha256=journal.key_sha256, key_id=journal.key_id)
    return None


def _adopted(context: Context, uri: KeyUri, key_type: KeyType) -> DeviceKey | None:
    """What appeared in a token under a free `id=` of the owner's choice while we were making a key of that name.

    A token's keys have their name from birth, so that nothing else tells ours from another's that was made in between.
    """
    found = context.keys(uri)
    if not found:
        return None
    if len(found) > 1 or found[0].certificate:
        raise foreign(str(uri))
    key = context.open_key(uri, made_here=True)
    if key.info.key_type is not key_type:
        key.close()
        raise foreign(str(uri))
    return key


def _announced(context: Context, journal: AnyJournal, uri: KeyUri) -> AnyJournal:
    from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

    own_id = isinstance(uri, Pkcs11Uri) and uri.key_id is None
    # With an identifier of its own there is no doubt about it later, and the keystore says best whether the name is free.
    if not own_id and context.key_exists(uri):
        raise foreign(str(uri))
    journal = journal.creating((journal.key_id or secrets.token_hex(_KEY_ID_BYTES)) if own_id else None)
    context.state.write_journal(journal)
    return journal


def _withdraw(context: Context, journal: AnyJournal, uri: KeyUri, *, taken: bool) -> None:
    """No key was made, so that nothing of that name that comes later is ours."""
    with suppress(DeviceSdkError):
        if taken or not context.key_exists(uri):
            context.state.write_journal(replace(journal, phase=Phase.REQUEST, key_id=None))


def _recorded(context: Context, journal: AnyJournal, key: DeviceKey) -> AnyJournal:
    if journal.phase is not Phase.CREATING and journal.key_sha256 is not None:
        return journal
    journal = replace(journal, phase=Phase.REQUEST, key_sha256=key.info.spki_sha256)
    try:
        context.state.write_journal(journal)
    except BaseException:
        key.close()
        raise
    return journal


def _exact(uri: KeyUri, journal: Journal | CaleJournal) -> KeyUri:
    """The URI with the identifier the journal chose."""
    from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

    if isinstance(uri, Pkcs11Uri) and journal.key_id is not None:
        return replace(uri, key_id=bytes.fromhex(journal.key_id))
    return uri
