"""Building CMS EnvelopedData (RFC 5652 section 6) for the key in one certificate: AES-CBC around the content, RSA-OAEP or ephemeral-static ECDH around its key (RFC 3560, RFC 5753)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.errors import ConfigurationError
from device_sdk.wire import der
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.content import encrypt_cbc
from device_sdk.wire.cms.key_agreement import shared_info, wrapping_key
from device_sdk.wire.cms.wrapping import KeyWrap

MIN_RSA_BITS = 2048

_SHA256, _SHA256_KDF = "2.16.840.1.101.3.4.2.1", "1.3.132.1.11.1"  # ids of the hash, and of stdDH with its X9.63 KDF
_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
_CIPHERS = {16: "aes-128-cbc", 32: "aes-256-cbc"}
_KEY_AGREE = _ORIGINATOR_KEY = 0xA1
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

Draw: TypeAlias = Callable[[int], bytes]


def envelop(content: bytes, content_type: str, recipient: x509.Certificate, draw: Draw = secrets.token_bytes) -> bytes:
    """Encrypt for the holder of a certificate.

    AES-256, or AES-128 where the recipient's key is no stronger than that (P-256, RSA up to 3072 bits); never key wrap
    around the content, which is for keys and not for what is told about them (RFC 7192, KR-11).

    Args:
        content: contents of the type, without the tag of an OCTET STRING; for a SignedData its DER.
        content_type: of the content, dotted.
        recipient: whose key opens it; named by issuer and serial number.
        draw: random bytes, as many as it is asked for.

    Returns:
        DER of a ContentInfo.

    Raises:
        ConfigurationError: the certificate is not for encryption; see require_recipient.
    """
    key = require_recipient(recipient)
    size = _key_bytes(key)
    content_key, vector = draw(size), draw(16)
    if isinstance(key, rsa.RSAPublicKey):
        version, info = 0, _transport(recipient, key, content_key)
    else:
        version, info = 2, _agreement(recipient, key, content_key)
    cipher = next(dotted for dotted, one in oids.CIPHERS.items() if one.name == _CIPHERS[size])
    encrypted = der.sequence(
        der.oid(content_type),
        der.sequence(der.oid(cipher), der.tlv(0x04, vector)),
        der.tlv(0x80, encrypt_cbc(content_key, vector, content)),
    )
    data = der.sequence(der.integer(version), der.set_of([info]), encrypted)
    return der.sequence(der.oid(oids.ENVELOPED_DATA), der.tlv(0xA0, data))


def require_recipient(certificate: x509.Certificate) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    """The key of a certificate that messages may be encrypted to.

    Args:
        certificate: of the recipient; who vouches for it is not looked at.

    Raises:
        ConfigurationError: its key is of another kind, too small, or not for this (RFC 5280 section 4.2.1.3).
    """
    try:
        key = certificate.public_key()
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    except ValueError as error:
        raise ConfigurationError("the certificate to encrypt to cannot be read", hint="give another") from error
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        allowed = usage is None or usage.key_encipherment
    elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        allowed = usage is None or usage.key_agreement
    else:
        raise ConfigurationError(
            "the certificate to encrypt to has a key that is not used for this",
            hint=f"give one with an RSA key of at least {MIN_RSA_BITS} bits, or an EC key on a NIST curve from P-256 on",
        )
    if not allowed:
        raise ConfigurationError(
            "the certificate to encrypt to is not for encryption: its key usage has no "
            + ("keyEncipherment" if isinstance(key, rsa.RSAPublicKey) else "keyAgreement"),
            hint="give the recipient's certificate for encryption",
        )
    return key


def _key_bytes(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> int:
    small = 3072 if isinstance(key, rsa.RSAPublicKey) else 256
    return 16 if key.key_size <= small else 32


def _name(recipient: x509.Certificate) -> bytes:
    return der.sequence(recipient.issuer.public_bytes(), der.integer(recipient.serial_number))


def _transport(recipient: x509.Certificate, key: rsa.RSAPublicKey, content_key: bytes) -> bytes:
    """KeyTransRecipientInfo with RSAES-OAEP, SHA-256 for hash and mask (RFC 4055 section 4.1)."""
    digest = der.sequence(der.oid(_SHA256))
    mask = der.sequence(der.oid(oids.MGF1), digest)
    parameters = der.sequence(der.tlv(0xA0, digest), der.tlv(0xA1, mask))
    scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    return der.sequence(
        der.integer(0),
        _name(recipient),
        der.sequence(der.oid(oids.RSAES_OAEP), parameters),
        der.tlv(0x04, key.encrypt(content_key, scheme)),
    )


def _agreement(recipient: x509.Certificate, key: ec.EllipticCurvePublicKey, content_key: bytes) -> bytes:
    """KeyAgreeRecipientInfo with a key made for this message (RFC 5753 section 3.1)."""
    wrap = KeyWrap(len(content_key))
    wrap_algorithm = der.sequence(
        der.oid(next(dotted for dotted, size in oids.KEY_WRAP_BYTES.items() if size == wrap.key_bytes))
    )
    ephemeral = ec.generate_private_key(key.curve)
    shared = ephemeral.exchange(ec.ECDH(), key)
    wrapping = wrapping_key(hashes.SHA256(), wrap, shared_info(wrap_algorithm, None, wrap.key_bytes), shared)
    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    # the curve is that of the recipient's key: no parameters (RFC 5753 section 3.1.1)
    originator = der.tlv(_ORIGINATOR_KEY, der.sequence(der.oid(_EC_PUBLIC_KEY)) + der.tlv(0x03, b"\0" + point))
    encrypted_key = der.sequence(_name(recipient), der.tlv(0x04, wrap.wrap(wrapping, content_key)))
    return der.tlv(
        _KEY_AGREE,
        der.integer(3)
        + der.tlv(0xA0, originator)
        + der.sequence(der.oid(_SHA256_KDF), wrap_algorithm)
        + der.sequence(encrypted_key),
    )
