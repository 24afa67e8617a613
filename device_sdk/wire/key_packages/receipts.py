"""Who wants receipts for a key package, and the receipts and errors themselves (RFC 7191)."""

from __future__ import annotations

from dataclasses import dataclass

from device_sdk.errors import WireError
from device_sdk.wire import der
from device_sdk.wire.cms.reader import OCTET_STRING, SEQUENCE, PlainReader, Reader
from device_sdk.wire.key_packages.strict import require_der

RECEIPT_REQUEST = "2.16.840.1.101.2.1.5.65"
"""id-aa-KP-keyPkgIdAndReceiptReq."""
KEY_PACKAGE_RECEIPT = "2.16.840.1.101.2.1.2.78.3"
KEY_PACKAGE_ERROR = "2.16.840.1.101.2.1.2.78.6"
DN = "2.16.840.1.101.2.1.16.0"
"""The only type of entity name that is defined."""

MAX_PACKAGE_ID_BYTES = 1024
MAX_NAMES = 64

_BOOLEAN, _ENUMERATED, _RECEIPTS_FROM, _ERROR_OF = 0x01, 0x0A, 0xA0, 0xA0


@dataclass(frozen=True)
class ReceiptRequest:
    """A key-package-identifier-and-receipt-request attribute (section 3).

    Attributes:
        package_id: identifies the package, byte for byte.
        wanted: whether receipts are asked for at all.
        encrypt: they should be encrypted.
        receipts_from: DER of the names of those who are asked; None for all receivers.
        receipts_to: DER of the names of those the receipts are for.
    """

    package_id: bytes
    wanted: bool = False
    encrypt: bool = False
    receipts_from: tuple[bytes, ...] | None = None
    receipts_to: tuple[bytes, ...] = ()

    def asks(self, name: bytes) -> bool:
        """Whether the entity with this name, DER, should send a receipt (KR-08)."""
        return self.wanted and (self.receipts_from is None or name in self.receipts_from)


def read_receipt_request(values: tuple[bytes, ...]) -> ReceiptRequest:
    """Read the attribute; names of unknown types are ignored (section 3).

    Args:
        values: DER of its values.

    Raises:
        WireError: not exactly one value (KR-10), or not one of this type.
    """
    try:
        if len(values) != 1:
            raise ValueError("not exactly one value")
        require_der(values[0])
        return _parse(PlainReader(values[0]))
    except ValueError as error:
        raise WireError(f"not a receipt request: {error}", what="KeyPkgIdentifierAndReceiptReq") from error


def _parse(outer: Reader) -> ReceiptRequest:
    members = outer.enter()
    package_id = members.octets()
    if not 1 <= len(package_id) <= MAX_PACKAGE_ID_BYTES:
        raise ValueError("a package identifier without bytes, or with too many")
    if members.next_tag is None:
        return ReceiptRequest(package_id)
    request = members.enter()
    members.finish()
    encrypt = False
    if request.next_tag == _BOOLEAN:
        encrypt = request.contents(_BOOLEAN) == b"\xff"
        if not encrypt:
            raise ValueError("a default that is encoded")
    receipts_from = _names(request.enter(_RECEIPTS_FROM)) if request.next_tag == _RECEIPTS_FROM else None
    receipts_to = _names(request.enter(SEQUENCE))
    request.finish()
    return ReceiptRequest(package_id, True, encrypt, receipts_from, receipts_to)


def _names(members: Reader) -> tuple[bytes, ...]:
    found: list[bytes] = []
    count = 0
    while members.next_tag is not None:
        name = members.enter()
        kind, value = name.oid(), name.octets()
        name.finish()
        count += 1
        if count > MAX_NAMES:
            raise ValueError("too many names")
        if kind == DN:
            found.append(value)
    if not count:
        raise ValueError("a list of names without any")
    return tuple(found)


def key_package_receipt(package_id: bytes, name: bytes) -> bytes:
    """DER of a KeyPackageReceipt, version 2 (section 4; KR-07).

    Args:
        package_id: from the request.
        name: DER of the receiver's distinguished name.
    """
    return der.sequence(der.tlv(OCTET_STRING, package_id), _entity(name))


def key_package_error(package_id: bytes | None, name: bytes, code: int) -> bytes:
    """DER of a KeyPackageError, version 2 (section 5).

    Args:
        package_id: of the package, if it could be read.
        name: DER of the receiver's distinguished name.
        code: of EnumeratedErrorCode.
    """
    error_of = der.tlv(_ERROR_OF, der.tlv(OCTET_STRING, package_id)) if package_id is not None else b""
    return der.sequence(error_of, _entity(name), der.tlv(_ENUMERATED, bytes([code])))


def _entity(name: bytes) -> bytes:
    return der.sequence(der.oid(DN), der.tlv(OCTET_STRING, name))
