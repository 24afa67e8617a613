"""Extensions of a trust anchor, and the key in it (RFC 5280 section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from device_sdk.model.keys import PublicKey
from device_sdk.wire import der
from device_sdk.wire.cms.reader import OCTET_STRING, Reader
from device_sdk.wire.tamp.codes import TampStatus, refused
from device_sdk.wire.tamp.strict import BOOLEAN, flag, several

MAX_EXTENSIONS = 64
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
_MAX_EXPONENT_BITS = 32
_MIN_EC_BITS = 256


@dataclass(frozen=True)
class Extension:
    """One, its value still encoded."""

    critical: bool
    value: bytes


Extensions: TypeAlias = Mapping[str, Extension]
"""By object identifier, in the order of the message."""


def read_extensions(reader: Reader) -> dict[str, Extension]:
    """A SEQUENCE OF Extension.

    Raises:
        ValueError: it cannot be read, or one is there twice.
    """
    return read_extension_members(reader.enter())


def read_extension_members(members: Reader) -> dict[str, Extension]:
    """The same from its inside; raises as `read_extensions`."""
    found = several(members, _read_one, MAX_EXTENSIONS)
    if len(dict(found)) != len(found):
        raise ValueError("an extension twice")
    return dict(found)


def encode_extensions(extensions: Extensions) -> bytes:
    """DER of all of them; empty for none."""
    encoded = [der.extension(oid, one.value, critical=one.critical) for oid, one in extensions.items()]
    return der.sequence(*encoded) if encoded else b""


def read_public_key(encoded: bytes) -> PublicKey:
    """The key of a SubjectPublicKeyInfo, if signatures of it are accepted.

    Raises:
        TampRefusedError: of an algorithm or a size that is not.
    """
    try:
        key = load_der_public_key(encoded)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise refused(TampStatus.UNSUPPORTED_TA_ALGORITHM, "a public key that cannot be read") from error
    if isinstance(key, rsa.RSAPublicKey):
        bits = key.public_numbers().e.bit_length()
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS or bits > _MAX_EXPONENT_BITS:
            raise refused(TampStatus.UNSUPPORTED_TA_KEY_SIZE, f"an RSA key of {key.key_size} bits")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.key_size < _MIN_EC_BITS:
            raise refused(TampStatus.UNSUPPORTED_TA_KEY_SIZE, f"a key on {key.curve.name}")
        return key
    raise refused(TampStatus.UNSUPPORTED_TA_ALGORITHM, "a key whose signatures are not accepted")


def identity_of(encoded: bytes) -> bytes:
    """What tells a public key from others: its SubjectPublicKeyInfo, written in one way; raises as `read_public_key`."""
    return read_public_key(encoded).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _read_one(members: Reader) -> tuple[str, Extension]:
    inner = members.enter()
    oid = inner.oid()
    critical = False
    if inner.next_tag == BOOLEAN:
        critical = flag(inner)
        if not critical:
            raise ValueError("a default that is written out")
    value = inner.octets(OCTET_STRING)
    inner.finish()
    return oid, Extension(critical, value)
