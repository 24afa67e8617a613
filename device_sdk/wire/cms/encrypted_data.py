"""EncryptedData: content encrypted with a key that both sides have, and no recipients (RFC 5652 section 8, RFC 6032)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from device_sdk.errors import EnvelopeError
from device_sdk.model.decryption import DecryptionPolicy
from device_sdk.model.held_key import HeldKey
from device_sdk.model.shared_key import SharedKey
from device_sdk.wire.cms.content import EncryptedContent, read_cbc
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.cms.envelope import CANNOT_OPEN, UNREADABLE, Keys, candidates_of
from device_sdk.wire.cms.reader import SET, Reader

CONTENT_DECRYPTION_KEY = "2.16.840.1.101.2.1.5.66"
"""id-aa-KP-contentDecryptKeyID."""

_UNPROTECTED_ATTRIBUTES = 0xA1
_MAX_ATTRIBUTES = 16


def open_encrypted_data(
    encoded: bytes, keys: Keys, *, content_types: Collection[str], policy: DecryptionPolicy
) -> tuple[str, bytes]:
    """Decrypt an EncryptedData with the shared key that its content-decryption-key-identifier names (K-10).

    Without that attribute the one shared key there is is used; of several none is.

    Args:
        encoded: the EncryptedData itself, BER.
        keys: those that are not shared keys are passed over.
        content_types: what may be inside, dotted.
        policy: the algorithms that are accepted.

    Returns:
        Type and plaintext.

    Raises:
        EnvelopeError: it does not open, for whatever reason; always the same text.
        KeyStoreError: the token or TPM that holds the key could not be used, or may not use it so.
    """
    shared = [key for key in candidates_of(keys) if isinstance(key, SharedKey | HeldKey)]
    found = _read(encoded, content_types, policy)
    plaintext = _open(*found, shared) if found else None
    # raised outside every except block, so that no cause and no context hangs on it
    if found is None or plaintext is None:
        raise EnvelopeError(CANNOT_OPEN)
    return found[0].content_type, plaintext


def _read(
    encoded: bytes, content_types: Collection[str], policy: DecryptionPolicy
) -> tuple[EncryptedContent, bytes | None] | None:
    try:
        data = Reader(make_definite(encoded)).enter()
        data.integer()
        content = read_cbc(data, content_types)
        named = _key_identifier(data.enter(_UNPROTECTED_ATTRIBUTES)) if data.next_tag is not None else None
        data.finish()
    except UNREADABLE:
        return None
    return (content, named) if policy.allows(content.cipher.name) else None


def _key_identifier(attributes: Reader) -> bytes | None:
    """At most one attribute with exactly one value (RFC 6032 section 3)."""
    found: bytes | None = None
    for _ in range(_MAX_ATTRIBUTES):
        if attributes.next_tag is None:
            return found
        attribute = attributes.enter()
        name, values = attribute.oid(), attribute.enter(SET)
        if name == CONTENT_DECRYPTION_KEY:
            if found is not None:
                raise ValueError("an attribute twice")
            found = values.octets()
            values.finish()
    raise ValueError("too many attributes")


def _open(content: EncryptedContent, named: bytes | None, keys: Sequence[SharedKey | HeldKey]) -> bytes | None:
    fitting = [one for one in keys if named is None or one.identifier == named]
    if len(fitting) != 1:
        return None
    key = fitting[0]
    if key.key_bytes != content.cipher.key_bytes:
        return None
    return content.decrypt(key if isinstance(key, HeldKey) else key.key.reveal())
