"""The parts of a package's SignedData that RFC 4108 section 2.1.2 narrows: hash, certificates, the one signer (F-06, F-09)."""

from __future__ import annotations

from cryptography import x509

from device_sdk.wire.ber import children
from device_sdk.wire.certs_only import MAX_CERTIFICATES, usable_certificates
from device_sdk.wire.cms.ber_stream import Scope
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.cms.reader import SEQUENCE, SET, Reader
from device_sdk.wire.cms.signatures import DIGESTS
from device_sdk.wire.cms.signer_info import SignerInfo, read_signer
from device_sdk.wire.cms.strict import require_der
from device_sdk.wire.firmware import oids
from device_sdk.wire.firmware.codes import LoadErrorCode, refused, refusing

_VERSIONS = (1, 3)


def element_of(scope: Scope) -> Reader:
    """A reader before the next element."""
    return Reader(make_definite(scope.element()))


def read_digest_algorithm(reader: Reader) -> str:
    """The one digest algorithm.

    Raises:
        ValueError: none, or several.
        FirmwareError: one that is not accepted.
    """
    members = reader.enter(SET)
    name = members.enter().oid()
    members.finish()
    if name not in DIGESTS:
        raise refused(LoadErrorCode.BAD_DIGEST_ALGORITHM, f"hash {name} is not accepted")
    return name


def read_certificates(reader: Reader) -> tuple[x509.Certificate, ...]:
    """X.509 certificates; of no other kind may there be any.

    Raises:
        FirmwareError: there are others, or too many.
    """
    with refusing(LoadErrorCode.BAD_CERTIFICATE, "its certificates"):
        found = list(children(reader.contents()))
        if any(tag != SEQUENCE for tag, _, _ in found) or len(found) > MAX_CERTIFICATES:
            raise ValueError("others than X.509 certificates, or too many")
        return tuple(dict.fromkeys(usable_certificates(element for _, element, _ in found)))


def read_one_signer(reader: Reader) -> SignerInfo:
    """The only signer there may be, with signed attributes in DER.

    Raises:
        FirmwareError: none, several, or one that cannot be read.
    """
    with refusing(LoadErrorCode.BAD_SIGNER_INFO, "its signer"):
        members = reader.enter(SET)
        signer = read_signer(members.enter())
        members.finish()
        if signer.version not in _VERSIONS:
            raise ValueError("another version")
    with refusing(LoadErrorCode.BAD_SIGNED_ATTRS, "its signed attributes"):
        if not signer.attributes:
            raise ValueError("there are none")
        require_der(signer.signed)
    return signer


def wrapped_key_of(signer: SignerInfo) -> bytes | None:
    """The wrapped-firmware-decryption-key: the only unsigned attribute there may be.

    Raises:
        FirmwareError: there are others, several, or several values.
    """
    if signer.unsigned is None:
        return None
    with refusing(LoadErrorCode.BAD_UNSIGNED_ATTRS, "its unsigned attributes"):
        members = Reader(signer.unsigned)
        attribute = members.enter()
        members.finish()
        if attribute.oid() != oids.WRAPPED_KEY:
            raise ValueError("another one than the wrapped key")
        values = attribute.enter(SET)
        attribute.finish()
        wrapped = values.element(SEQUENCE)
        values.finish()
        return wrapped
