"""The whole message: read it, try every recipient a key can open, and say only whether it opened.

Bleichenbacher's and Vaudenay's attacks live on being told how far a decryption got. So: the message is read completely
before any key is used; each RSA block costs one operation of the key and one decryption of the content, whatever it
held, with a random content key standing in for one that could not be had (RFC 3218 section 2.3.2, CALE-70); and what
comes out of a failure is one error with one text, without a cause (CALE-10). A stand-in never yields a plaintext, so
garbage is never a success.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk.errors import EnvelopeError, WireError
from device_sdk.model.http import MAX_RESPONSE_BYTES
from device_sdk.model.keys import PrivateKey
from device_sdk.model.shared_key import SharedKey
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.armor import remove_armor
from device_sdk.wire.cms.content import EncryptedContent, read_cbc, read_gcm
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.cms.kek import SharedKeyWrap, read_shared_key_wrap
from device_sdk.wire.cms.key_agreement import KeyAgreement, read_key_agreement
from device_sdk.wire.cms.key_transport import KeyTransport, read_key_transport
from device_sdk.wire.cms.reader import SEQUENCE, SET, Reader

MAX_ENVELOPE_BYTES = MAX_RESPONSE_BYTES
MAX_RECIPIENTS = 64
CANNOT_OPEN = "the message cannot be opened: it is not an encrypted message for this key"

_EXPLICIT_0 = 0xA0
_ORIGINATOR_INFO = 0xA0
_KEY_AGREE, _SHARED_KEY = 0xA1, 0xA2  # RecipientInfo is a CHOICE; a SEQUENCE without tag is key transport
_UNREADABLE = (WireError, ValueError, KeyError)

OpeningKey: TypeAlias = PrivateKey | SharedKey
"""What may open a message."""


@dataclass(frozen=True)
class _Recipients:
    transports: tuple[KeyTransport, ...]
    agreements: tuple[KeyAgreement, ...]
    wraps: tuple[SharedKeyWrap, ...]


@dataclass(frozen=True)
class _Envelope:
    recipients: _Recipients
    content: EncryptedContent


def open_envelope(
    message: bytes,
    keys: OpeningKey | Sequence[OpeningKey],
    *,
    limit_bytes: int = MAX_ENVELOPE_BYTES,
    content_types: Collection[str] = (oids.DATA,),
) -> bytes:
    """Decrypt an EnvelopedData or AuthEnvelopedData with a key and nothing else.

    RSA PKCS#1 v1.5 and OAEP, ECDH with the X9.63 KDF and AES key wrap; AES in CBC and GCM. Who the message says it is
    for (issuer and serial number, key identifier) is a hint at most: no certificate is needed (CALE-08). A shared key
    has to be the one the message names.

    Args:
        message: PEM labelled CMS or PKCS7, base64 (wrapped or not), S/MIME text, or DER/BER.
        keys: what may open it; software, token or TPM, or a key both sides were given.
        limit_bytes: the largest message looked at.
        content_types: what may be inside, dotted; by default data.

    Returns:
        The plaintext, unchecked: with AES-CBC anybody who has the public key can have made it.

    Raises:
        EnvelopeError: it does not open, for whatever reason; always the same text.
        KeyStoreError: the token or TPM could not be used (PIN, removed, busy); says nothing about the message.
    """
    candidates: tuple[OpeningKey, ...] = (
        (keys,) if isinstance(keys, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | SharedKey) else tuple(keys)
    )
    envelope = _read(message, limit_bytes, content_types)
    plaintext = _open(envelope, candidates) if envelope else None
    # raised outside every except block, so that no cause and no context hangs on it
    if plaintext is None:
        raise EnvelopeError(CANNOT_OPEN)
    return plaintext


def _read(message: bytes, limit_bytes: int, content_types: Collection[str]) -> _Envelope | None:
    try:
        return _parse(make_definite(remove_armor(message, limit_bytes)), content_types)
    except _UNREADABLE:
        return None


def _parse(encoded: bytes, content_types: Collection[str]) -> _Envelope:
    """Read a ContentInfo; versions are not looked at, as writers disagree about them."""
    info = Reader(encoded).enter()
    kind = info.oid()
    data = info.enter(_EXPLICIT_0).enter()
    info.finish()
    data.integer()
    data.skip(_ORIGINATOR_INFO)
    recipients = _read_recipients(data.enter(SET))
    if kind == oids.ENVELOPED_DATA:
        return _Envelope(recipients, read_cbc(data, content_types))
    if kind == oids.AUTH_ENVELOPED_DATA:
        return _Envelope(recipients, read_gcm(data, content_types))
    raise ValueError("not an encrypted message")


def _read_recipients(members: Reader) -> _Recipients:
    """The recipients of a kind that a key of the SDK may open; the others are no reason to refuse the message."""
    transports: list[KeyTransport] = []
    agreements: list[KeyAgreement] = []
    wraps: list[SharedKeyWrap] = []
    count = 0
    while members.next_tag is not None:
        count += 1
        if members.next_tag == SEQUENCE:
            transport = read_key_transport(members.enter())
            transports.extend(() if transport is None else (transport,))
        elif members.next_tag == _KEY_AGREE:
            agreement = read_key_agreement(members.enter(_KEY_AGREE))
            agreements.extend(() if agreement is None else (agreement,))
        elif members.next_tag == _SHARED_KEY:
            wrap = read_shared_key_wrap(members.enter(_SHARED_KEY))
            wraps.extend(() if wrap is None else (wrap,))
        else:
            members.element()
    if count + sum(len(agreement.encrypted_keys) for agreement in agreements) > MAX_RECIPIENTS:
        raise ValueError("too many recipients")
    return _Recipients(tuple(transports), tuple(agreements), tuple(wraps))


def _open(envelope: _Envelope, keys: Sequence[OpeningKey]) -> bytes | None:
    for key in keys:
        plaintext = next((found for found in _attempts(envelope, key) if found is not None), None)
        if plaintext is not None:
            return plaintext
    return None


def _attempts(envelope: _Envelope, key: OpeningKey) -> Iterator[bytes | None]:
    if isinstance(key, SharedKey):
        return _with_shared(envelope, key)
    return _with_rsa(envelope, key) if isinstance(key, rsa.RSAPrivateKey) else _with_ec(envelope, key)


def _with_shared(envelope: _Envelope, key: SharedKey) -> Iterator[bytes | None]:
    for wrap in envelope.recipients.wraps:
        unwrapped = wrap.unwrap(key)
        usable = unwrapped is not None and len(unwrapped) == envelope.content.cipher.key_bytes
        yield envelope.content.decrypt(unwrapped) if usable and unwrapped is not None else None


def _with_rsa(envelope: _Envelope, key: rsa.RSAPrivateKey) -> Iterator[bytes | None]:
    fitting = [transport for transport in envelope.recipients.transports if transport.fits(key)]
    if len(fitting) > 1:
        fitting.sort(key=lambda transport: not transport.names(key))
    size = envelope.content.cipher.key_bytes
    for transport in fitting:
        stand_in = secrets.token_bytes(size)
        unwrapped = transport.unwrap(key)
        usable = unwrapped is not None and len(unwrapped) == size
        plaintext = envelope.content.decrypt(unwrapped if usable and unwrapped is not None else stand_in)
        yield plaintext if usable else None


def _with_ec(envelope: _Envelope, key: ec.EllipticCurvePrivateKey) -> Iterator[bytes | None]:
    for agreement in envelope.recipients.agreements:
        for unwrapped in agreement.unwrap(key):
            usable = len(unwrapped) == envelope.content.cipher.key_bytes
            yield envelope.content.decrypt(unwrapped) if usable else None
