"""The AsymmetricKeyPackage (RFC 5958): exactly one private key, with the certificates it may bring (A-07, A-08)."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509

from device_sdk.errors import WireError
from device_sdk.model.keys import PrivateKey
from device_sdk.wire.certs_only import usable_certificates
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.cms.reader import INTEGER, OCTET_STRING, SEQUENCE, SET, Reader
from device_sdk.wire.private_key import read_private_key

ASYMMETRIC_KEY_PACKAGE = "2.16.840.1.101.2.1.2.78.5"
"""id-ct-KP-aKeyPackage (RFC 5958 section 2.1)."""

_USER_CERTIFICATE = "2.5.4.36"
_ATTRIBUTES = 0xA0
_MAX_ATTRIBUTES = 32
_MAX_CERTIFICATES = 16


@dataclass(frozen=True)
class AsymmetricKey:
    """One key of a package.

    Attributes:
        key: its halves fit each other.
        certificates: those of its attribute userCertificate; not checked.
    """

    key: PrivateKey = field(repr=False)
    certificates: tuple[x509.Certificate, ...] = ()


def read_asymmetric_key_package(content: bytes) -> AsymmetricKey:
    """The one key of an AsymmetricKeyPackage; a bare OneAsymmetricKey is taken as well.

    Args:
        content: DER or BER, as it stood in the signed message.

    Raises:
        WireError: as `read_private_key`, or not exactly one key, or more attributes than there could be.
    """
    try:
        encoded = make_definite(content)
        outer = Reader(encoded)
        members = outer.enter()
        outer.finish()
        one = encoded
        if members.next_tag != INTEGER:
            one = members.element(SEQUENCE)
            members.finish()
        certificates = _certificates(one)
    except ValueError as error:
        raise WireError("not a package with exactly one private key", what="AsymmetricKeyPackage") from error
    return AsymmetricKey(read_private_key(one), tuple(usable_certificates(certificates)))


def _certificates(encoded: bytes) -> list[bytes]:
    """The values of userCertificate."""
    key = Reader(encoded).enter()
    key.element(INTEGER)
    if key.next_tag != SEQUENCE:
        return []  # PKCS#1 or SEC 1, which the key's own reader knows
    key.element(SEQUENCE)
    key.octets(OCTET_STRING)
    attributes = key.enter(_ATTRIBUTES) if key.next_tag == _ATTRIBUTES else Reader(b"")
    found: list[bytes] = []
    for _ in range(_MAX_ATTRIBUTES):
        if attributes.next_tag is None:
            return found
        attribute = attributes.enter()
        name, values = attribute.oid(), attribute.enter(SET)
        while name == _USER_CERTIFICATE and values.next_tag is not None:
            found.append(values.element(SEQUENCE))
            if len(found) > _MAX_CERTIFICATES:
                raise ValueError("too many certificates")
    raise ValueError("too many attributes")
