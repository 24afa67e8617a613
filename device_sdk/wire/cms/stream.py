"""Messages too large for memory: the ciphertext goes to a spool, is checked there, and only then decrypted piece by piece.

No plaintext leaves before the whole message is known to be good, and none is ever written: what the spool holds is the
ciphertext as it came. Each content key that may be the right one costs one pass over it (see `recipients`), the right one
another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from device_sdk.errors import EnvelopeError
from device_sdk.model.decryption import EVERYTHING, DecryptionPolicy
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.armor_stream import remove_armor_stream
from device_sdk.wire.cms.ber_stream import Scope, Source
from device_sdk.wire.cms.definite import encode_element
from device_sdk.wire.cms.envelope import CANNOT_OPEN, UNREADABLE, Envelope, Keys, candidates_of, read_envelope
from device_sdk.wire.cms.passes import Spool, plaintext_of, spooled, verifies
from device_sdk.wire.cms.reader import SEQUENCE
from device_sdk.wire.cms.recipients import OpeningKey

_EXPLICIT_0 = 0xA0
_CONTENT = 0x80
_MAX_PARTS = 8


@dataclass(frozen=True)
class _Spooled:
    envelope: Envelope
    length: int


class OpenedStream:
    """A message that opened, still encrypted in its spool.

    Attributes:
        content_type: of what is inside, dotted.
    """

    def __init__(self, found: _Spooled, key: bytes, spool: Spool) -> None:
        self.content_type = found.envelope.content.content_type
        self._found, self._key, self._spool = found, key, spool

    def pieces(self) -> Iterator[bytes]:
        """The plaintext from its beginning, by one pass over the spool; one iteration at a time. See open_stream."""
        return _released(self._found, self._key, self._spool)


def open_stream(
    chunks: Iterable[bytes],
    keys: Keys,
    spool: Spool,
    *,
    limit_bytes: int,
    content_types: Collection[str] = (oids.DATA,),
    policy: DecryptionPolicy = EVERYTHING,
) -> Iterator[bytes]:
    """Decrypt a message that comes in pieces, with bounded memory; what opens, `open_envelope` opens to the same.

    Refused is beside what that refuses: AES-CCM, which has to know the length of the content before it begins; more than
    64 KiB before the message itself (S/MIME headers, text before PEM); such text if it begins with "0".

    Args:
        chunks: the message, cut anywhere; read to its end before any key is used.
        keys: what may open it.
        spool: an empty file for the ciphertext, open for writing and reading in binary; nobody else may write to it while
            the plaintext is read. It stays open.
        limit_bytes: the largest message, as it comes.
        content_types: what may be inside, dotted; by default data.
        policy: the algorithms that are accepted.

    Returns:
        The plaintext in pieces. Nothing can fail any more but the spool itself: one that has changed ends the iteration
        with EnvelopeError.

    Raises:
        EnvelopeError: it does not open, for whatever reason; always the same text.
        KeyStoreError: the token or TPM could not be used (PIN, removed, busy).
        DeviceSdkError: as `chunks` and `spool` raise it.
    """
    return open_typed_stream(
        chunks, keys, spool, limit_bytes=limit_bytes, content_types=content_types, policy=policy
    ).pieces()


def open_typed_stream(
    chunks: Iterable[bytes],
    keys: Keys,
    spool: Spool,
    *,
    limit_bytes: int,
    content_types: Collection[str],
    policy: DecryptionPolicy,
) -> OpenedStream:
    """The same for contents of several types, and to be read more than once."""
    candidates = candidates_of(keys)
    found = _read(chunks, spool, limit_bytes, content_types, policy)
    key = _find_key(found, candidates, spool) if found else None
    # raised outside every except block, so that no cause and no context hangs on it
    if found is None or key is None:
        raise EnvelopeError(CANNOT_OPEN)
    return OpenedStream(found, key, spool)


def _released(found: _Spooled, key: bytes, spool: Spool) -> Iterator[bytes]:
    good = True
    try:
        yield from plaintext_of(found.envelope.content, key, spooled(spool, found.length))
    except ValueError:
        good = False
    if not good:
        raise EnvelopeError(CANNOT_OPEN)


def _find_key(found: _Spooled, keys: tuple[OpeningKey, ...], spool: Spool) -> bytes | None:
    recipients, content = found.envelope.recipients, found.envelope.content
    if any(recipients.too_many_for(key) for key in keys):
        return None
    right: bytes | None = None
    for key in keys:
        for candidate in recipients.content_keys(key, content.cipher.key_bytes):
            good = verifies(content, candidate.value, spool, found.length)
            if right is None and good and candidate.real:
                right = candidate.value
    return right


def _read(
    chunks: Iterable[bytes], spool: Spool, limit_bytes: int, content_types: Collection[str], policy: DecryptionPolicy
) -> _Spooled | None:
    try:
        message = remove_armor_stream(chunks, limit_bytes)
        source = Source(message.pieces)
        frame, length = _split(source, message.padding, spool)
    except UNREADABLE:
        return None
    envelope = read_envelope(frame, content_types, policy, elsewhere=length, plain=source.plain)
    return _Spooled(envelope, length) if envelope and envelope.content.cipher.mode != "ccm" else None


def _split(source: Source, padding: bytes, spool: Spool) -> tuple[bytes, int]:
    """The message with an empty ciphertext, and the length of the one that was spooled."""
    outer = Scope(source)
    info = outer.enter(SEQUENCE)
    kind = info.element()
    explicit = info.enter(_EXPLICIT_0)
    data = explicit.enter(SEQUENCE)
    before = _parts(data, until=SEQUENCE)
    encrypted = data.enter(SEQUENCE)
    described = [encrypted.element(), encrypted.element()]
    length = encrypted.octets(_CONTENT, spool.write)
    encrypted.leave()
    after = _parts(data)
    for scope in (data, explicit, info):
        scope.leave()
    if any(rest.strip(padding) if padding else rest for rest in source.rest()):
        raise ValueError("something behind the message")
    content = encode_element(SEQUENCE, b"".join(described) + encode_element(_CONTENT, b""))
    body = encode_element(SEQUENCE, b"".join((*before, content, *after)))
    return encode_element(SEQUENCE, kind + encode_element(_EXPLICIT_0, body)), length


def _parts(data: Scope, until: int | None = None) -> list[bytes]:
    """The elements up to one with this tag, or to the end."""
    found: list[bytes] = []
    while data.next_tag != until:
        if len(found) == _MAX_PARTS or data.next_tag is None:
            raise ValueError("not the elements of an encrypted message")
        found.append(data.element())
    return found
