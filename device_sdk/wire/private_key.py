"""Private keys as servers send them: PKCS#8 (RFC 5958) and what was before it, read tolerantly and checked."""

from __future__ import annotations

import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from device_sdk.errors import WireError
from device_sdk.model.keys import KeyType, PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.wire import der
from device_sdk.wire.ber import is_one_sequence
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.cms.reader import INTEGER, OCTET_STRING, SEQUENCE, Reader
from device_sdk.wire.transfer import decode_body

MAX_KEY_BYTES = 16 * 1024

_WHAT = "private key"
_LABELS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
_ATTRIBUTES, _PUBLIC_KEY = 0xA0, 0x81
_VERSIONS = (b"\x02\x01\x00", b"\x02\x01\x01")
_ENCRYPTED = re.compile(rb"^[ \t]*-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED", re.MULTILINE)


def read_private_key(body: bytes) -> PrivateKey:
    """The key of an application/pkcs8 body: PEM, base64 or DER.

    PrivateKeyInfo, OneAsymmetricKey with its public key, and the older structures of PKCS#1 and SEC 1, which some servers
    send in its place.

    Raises:
        WireError: not such a body, a key encrypted with a password, a key whose halves do not fit each other, or one of a
            type or size that the SDK does not handle. The message says nothing of the key.
    """
    if _ENCRYPTED.search(body):
        raise _encrypted()
    return _load(_decoded(body))


def pkcs8_of(key: PrivateKey) -> Secret:
    """DER PrivateKeyInfo of a software key."""
    return Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def _decoded(body: bytes) -> bytes:
    if is_one_sequence(body):
        return body
    try:
        return decode_body(body, labels=_LABELS, limit=4 * MAX_KEY_BYTES)
    except WireError as error:
        # the decoders' own words may repeat what they read
        raise WireError("not PKCS#8 in PEM, base64 or DER", what=_WHAT) from error


def _load(encoded: bytes) -> PrivateKey:
    """The key, and the public key beside it, if one is there, is its own."""
    if len(encoded) > MAX_KEY_BYTES:
        raise WireError(f"a private key of more than {MAX_KEY_BYTES} bytes", what=_WHAT)
    try:
        plain, public = _plain(make_definite(encoded))
        key = load_der_private_key(plain, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    # raised outside the except block, so that no library's words about the key hang on it
    if key is None:
        raise WireError("not a private key whose parts fit each other", what=_WHAT)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) or not _is_supported(key):
        raise WireError("a private key of a type or size that is not supported", what=_WHAT)
    if public is not None and not _fits(key, public):
        raise WireError("not a private key whose parts fit each other", what=_WHAT)
    return key


def _plain(encoded: bytes) -> tuple[bytes, bytes | None]:
    """The structure without attributes and public key, which not every library reads, and that public key's bits."""
    members = Reader(encoded).enter()
    if members.next_tag == SEQUENCE:
        members.element()
        if members.next_tag == OCTET_STRING:
            raise _encrypted()
        raise ValueError("not a private key")
    version = members.element(INTEGER)
    if members.next_tag != SEQUENCE:
        return encoded, None  # PKCS#1 or SEC 1
    algorithm, key = members.element(SEQUENCE), members.octets()
    members.skip(_ATTRIBUTES)
    public = members.contents(_PUBLIC_KEY)[1:] if members.next_tag == _PUBLIC_KEY else None
    members.finish()
    if version not in _VERSIONS:
        raise ValueError("an unknown version")
    return der.sequence(_VERSIONS[0], algorithm, der.tlv(OCTET_STRING, key)), public


def _encrypted() -> WireError:
    return WireError(
        "the private key is encrypted with a password, which EST does not know",
        hint="ask for encryption to a key, or for none",
        what="ENCRYPTED PRIVATE KEY",
    )


def _is_supported(key: PrivateKey) -> bool:
    try:
        KeyType.of(key.public_key())
    except ValueError:
        return False
    return True


def _fits(key: PrivateKey, public: bytes) -> bool:
    """Whether the bits are this key's public half: a point, or an RSAPublicKey."""
    if isinstance(key, rsa.RSAPrivateKey):
        return public == key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    points = (PublicFormat.UncompressedPoint, PublicFormat.CompressedPoint)
    return public in [key.public_key().public_bytes(Encoding.X962, form) for form in points]
