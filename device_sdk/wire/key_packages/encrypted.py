"""The EncryptedKeyPackage (RFC 6032 section 2): one of three kinds of encryption, told apart by a tag."""

from __future__ import annotations

from device_sdk.errors import WireError
from device_sdk.wire import der
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.reader import SEQUENCE, Reader

ENCRYPTED_KEY_PACKAGE = "2.16.840.1.101.2.1.2.78.2"
"""id-ct-KP-encryptedKeyPkg."""

_KINDS = {SEQUENCE: oids.ENCRYPTED_DATA, 0xA0: oids.ENVELOPED_DATA, 0xA1: oids.AUTH_ENVELOPED_DATA}


def read_encrypted_key_package(encoded: bytes) -> tuple[str, bytes]:
    """Which content type an EncryptedKeyPackage is but for its tag, and the same element with that type's own tag.

    Args:
        encoded: the content of type ENCRYPTED_KEY_PACKAGE, BER with a definite outer length.

    Raises:
        WireError: none of the three.
    """
    outer = Reader(encoded)
    kind = _KINDS.get(outer.next_tag or 0)
    try:
        contents = outer.contents()
        outer.finish()
    except ValueError as error:
        raise WireError("not an encrypted key package", what="EncryptedKeyPackage") from error
    if kind is None:
        raise WireError("not an encrypted key package", what="EncryptedKeyPackage")
    return kind, der.tlv(SEQUENCE, contents)
