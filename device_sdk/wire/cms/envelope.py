"""The whole message: read it, try every recipient a key may open, and say only whether it opened.

Bleichenbacher's and Vaudenay's attacks live on being told how far a decryption got. So: the message is read completely
before any key is used; each recipient that may be ours costs one operation of the key and one decryption of the content,
whatever came out and whether an earlier one has opened it, with a random content key standing in for one that could not
be had (RFC 3218 section 2.3.2, CALE-70); what a bad padding leaves is looked at like a plaintext, in vain
(`judge_envelope`); and what comes out of a failure is one error with one text, without a cause (CALE-10). A stand-in never
yields a plaintext, so garbage is never a success.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from device_sdk.errors import EnvelopeError, WireError
from device_sdk.model.decryption import EVERYTHING, DecryptionPolicy
from device_sdk.model.http import MAX_RESPONSE_BYTES
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.armor import remove_armor
from device_sdk.wire.cms.content import Decrypted, EncryptedContent, read_authenticated, read_cbc
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.cms.reader import SET, PlainReader, Reader
from device_sdk.wire.cms.recipients import OpeningKey, Recipients, read_recipients

MAX_ENVELOPE_BYTES = MAX_RESPONSE_BYTES
CANNOT_OPEN = "the message cannot be opened: it is not an encrypted message for this key"
UNREADABLE = (WireError, ValueError, KeyError)

_EXPLICIT_0 = 0xA0
_ORIGINATOR_INFO = 0xA0
_UNPROTECTED_ATTRIBUTES = 0xA1

Keys: TypeAlias = OpeningKey | Sequence[OpeningKey]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Envelope:
    """A message that has been read.

    Attributes:
        recipients: those a key of ours may be.
        content: what it holds.
    """

    recipients: Recipients
    content: EncryptedContent


def open_envelope(
    message: bytes,
    keys: Keys,
    *,
    limit_bytes: int = MAX_ENVELOPE_BYTES,
    content_types: Collection[str] = (oids.DATA,),
    policy: DecryptionPolicy = EVERYTHING,
) -> bytes:
    """Decrypt an EnvelopedData or AuthEnvelopedData with a key and nothing else.

    RSA PKCS#1 v1.5 and OAEP, ECDH with the X9.63 KDF and AES key wrap; AES in CBC, GCM and CCM, ChaCha20-Poly1305. Who the
    message says it is for (issuer and serial number, key identifier) is a hint at most: no certificate is needed
    (CALE-08). If a recipient is named by the identifier of our key, only those named so are tried; else all are, up to 16
    for a key. A shared key has to be the one the message names. All keys are used, whichever opens the message.

    Args:
        message: PEM labelled CMS or PKCS7, base64 (wrapped or not), S/MIME text, or DER/BER.
        keys: what may open it; software, token or TPM, or a key both sides were given.
        limit_bytes: the largest message looked at.
        content_types: what may be inside, dotted; by default data.
        policy: the algorithms that are accepted.

    Returns:
        The plaintext, unchecked: with AES-CBC anybody who has the public key can have made it.

    Raises:
        EnvelopeError: it does not open, for whatever reason; always the same text.
        KeyStoreError: the token or TPM could not be used (PIN, removed, busy); says nothing about the message.
    """
    return open_typed(message, keys, limit_bytes=limit_bytes, content_types=content_types, policy=policy)[1]


def open_typed(
    message: bytes,
    keys: Keys,
    *,
    limit_bytes: int = MAX_ENVELOPE_BYTES,
    content_types: Collection[str],
    policy: DecryptionPolicy,
) -> tuple[str, bytes]:
    """The same, and of what type the plaintext is said to be."""
    candidates = candidates_of(keys)
    envelope = _read(message, limit_bytes, content_types, policy)
    found = _first_sound(envelope, candidates) if envelope else None
    # raised outside every except block, so that no cause and no context hangs on it
    if envelope is None or found is None:
        raise EnvelopeError(CANNOT_OPEN)
    return envelope.content.content_type, found.octets


def judge_envelope(
    message: bytes,
    keys: Keys,
    judge: Callable[[str, bytes], Result],
    *,
    limit_bytes: int = MAX_ENVELOPE_BYTES,
    content_types: Collection[str],
    policy: DecryptionPolicy,
) -> Result | None:
    """Decrypt as `open_typed` does, and let somebody look at the plaintext before it is said whether the message opened.

    With AES-CBC who asks whether a padding was sound (Vaudenay) is not told by the error, and should not be by the time
    that looking takes, nor by which of several content keys is taken, one of which may be his own: what every one of them
    makes of the content is looked at, with bad paddings and stand-ins, too, whose verdicts do not count.

    Args:
        message: as for open_envelope.
        keys: what may open it.
        judge: given type and plaintext; whatever it raises means that this is not the plaintext. Must not return None, and
            must do nothing but look.
        limit_bytes: the largest message looked at.
        content_types: what may be inside, dotted.
        policy: the algorithms that are accepted.

    Returns:
        What `judge` made of the first plaintext that it accepted; None if the message does not open, or it raised.

    Raises:
        KeyStoreError: as open_envelope.
    """
    candidates = candidates_of(keys)
    envelope = _read(message, limit_bytes, content_types, policy)
    if envelope is None:
        return None
    content_type, accepted = envelope.content.content_type, None
    for found in _open(envelope, candidates):
        result = _judged(judge, content_type, found.octets)
        if accepted is None and found.sound:
            accepted = result
    return accepted


def _judged(judge: Callable[[str, bytes], Result], content_type: str, octets: bytes) -> Result | None:
    try:
        return judge(content_type, octets)
    except Exception:  # noqa: BLE001  # CALE-10: one error, whatever somebody makes of garbage
        return None


def is_altered_unseen(message: bytes, *, content_types: Collection[str] = (oids.DATA,)) -> bool:
    """Whether a message that was opened is in AES-CBC, by the same reading of it. Nothing is decrypted."""
    envelope = _read(message, len(message), content_types, EVERYTHING)
    return envelope is not None and envelope.content.cipher.mode == "cbc"


def candidates_of(keys: Keys) -> tuple[OpeningKey, ...]:
    """One key or several as a tuple."""
    return tuple(keys) if isinstance(keys, Sequence) else (keys,)


def read_envelope(
    encoded: bytes,
    content_types: Collection[str],
    policy: DecryptionPolicy,
    *,
    elsewhere: int | None = None,
    plain: bool = True,
) -> Envelope | None:
    """Read a ContentInfo in BER.

    Args:
        encoded: one element.
        content_types: what may be inside, dotted.
        policy: the algorithms that are accepted.
        elsewhere: length of a ciphertext that is kept elsewhere; the one in the message is empty then.
        plain: False if it had indefinite lengths or strings in pieces that somebody has replaced: all of it is looked at.

    Returns:
        The message; None if it cannot be read, or uses what is not accepted.
    """
    try:
        if plain:
            return _parse(PlainReader(encoded), content_types, policy, elsewhere)
    except UNREADABLE:
        pass  # indefinite lengths and strings in pieces are worth a second look
    try:
        return _parse(Reader(make_definite(encoded)), content_types, policy, elsewhere)
    except UNREADABLE:
        return None


def _parse(outer: Reader, content_types: Collection[str], policy: DecryptionPolicy, elsewhere: int | None) -> Envelope:
    """See read_envelope; versions are not looked at, as writers disagree about them."""
    info = outer.enter()
    outer.finish()
    kind = info.oid()
    data = info.enter(_EXPLICIT_0).enter()
    info.finish()
    data.integer()
    data.skip(_ORIGINATOR_INFO)
    recipients = read_recipients(data.enter(SET), policy)
    if kind == oids.ENVELOPED_DATA:
        content = read_cbc(data, content_types, elsewhere=elsewhere)
        data.skip(_UNPROTECTED_ATTRIBUTES)
        data.finish()
    elif kind == oids.AUTH_ENVELOPED_DATA:
        content = read_authenticated(data, content_types, elsewhere=elsewhere)
    else:
        raise ValueError("not an encrypted message")
    if not policy.allows(content.cipher.name):
        raise ValueError("a cipher that is not accepted")
    return Envelope(recipients, content)


def _read(
    message: bytes, limit_bytes: int, content_types: Collection[str], policy: DecryptionPolicy
) -> Envelope | None:
    try:
        encoded = remove_armor(message, limit_bytes)
    except UNREADABLE:
        return None
    return read_envelope(encoded, content_types, policy)


def _first_sound(envelope: Envelope, keys: Sequence[OpeningKey]) -> Decrypted | None:
    """All are decrypted; one that is not sound is in no variable when somebody raises."""
    first: Decrypted | None = None
    for found in _open(envelope, keys):
        if first is None and found.sound:
            first = found
    return first


def _open(envelope: Envelope, keys: Sequence[OpeningKey]) -> Iterator[Decrypted]:
    """What each content key makes of the content; sound only if the key is real. Nothing where the content is not authentic.

    Each is made when it is asked for, as one may be all that there is memory for; ask for all of them.
    """
    recipients, content = envelope.recipients, envelope.content
    if any(recipients.too_many_for(key) for key in keys):
        return
    for key in keys:
        for candidate in recipients.content_keys(key, content.cipher.key_bytes):
            found = content.decrypt_anyhow(candidate.value)
            if found is not None:
                yield Decrypted(found.octets, found.sound and candidate.real)
