"""What goes back for a package of keys, to /symmetrickeys/return and /serverkeygen/return (RFC 8295 sections 5.2 and 8.2)."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509

from device_sdk.model.trust import TlsIdentity
from device_sdk.protocols.est.returns import signed_media_type
from device_sdk.wire import der
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.enveloping import envelop
from device_sdk.wire.cms.reader import SEQUENCE, PlainReader
from device_sdk.wire.cms.signing import Signer, sign_data
from device_sdk.wire.key_packages.receipts import KEY_PACKAGE_RECEIPT

_BINARY_SIGNING_TIME = "1.2.840.113549.1.9.16.2.46"
_EXPLICIT_0 = 0xA0


def signed_return(content: bytes, content_type: str, identity: TlsIdentity, now: datetime) -> bytes:
    """A receipt or an error, signed, with the time (KR-02, KR-03, KR-09).

    Args:
        content: DER.
        content_type: KEY_PACKAGE_RECEIPT or KEY_PACKAGE_ERROR.
        identity: whose key signs; the certificates go along.
        now: the present.

    Raises:
        KeyStoreError: the key could not sign.
    """
    time = der.attribute(_BINARY_SIGNING_TIME, der.integer(int(now.timestamp())))
    signer = Signer(identity.key, certificate=identity.chain[0])
    return sign_data(content, content_type, signer, certificates=identity.chain, attributes=[time])


def encrypted_return(signed: bytes, recipient: x509.Certificate) -> bytes:
    """The same for nobody's eyes but the recipient's: signed first, then encrypted (KR-08, KR-11).

    Args:
        signed: from `signed_return`.
        recipient: from the policy; no message says to whom (AMB-23).

    Raises:
        ConfigurationError: the certificate is not for encryption.
    """
    info = PlainReader(signed).enter()
    info.oid()
    return envelop(info.enter(_EXPLICIT_0).element(SEQUENCE), oids.SIGNED_DATA, recipient)


def return_media_type(content_type: str, *, encrypted: bool = False) -> str:
    """Of a signed receipt or error (G-06).

    Args:
        content_type: of what is in the signature.
        encrypted: whether the signature is in an envelope.
    """
    inner = "keyPackageReceipt" if content_type == KEY_PACKAGE_RECEIPT else "keyPackageError"
    if encrypted:
        return f'application/cms; encapsulatingContent="envelopedData, signedData"; innerContent={inner}'
    return signed_media_type(inner)
