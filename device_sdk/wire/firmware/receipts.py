"""What a module says of a package it loaded or refused (RFC 4108 sections 3.1 and 4.1; FR-04)."""

from __future__ import annotations

from dataclasses import dataclass

from device_sdk.errors import WireError
from device_sdk.wire import der
from device_sdk.wire.cms.reader import INTEGER, OCTET_STRING, OID, SEQUENCE, Reader
from device_sdk.wire.firmware.codes import LoadErrorCode
from device_sdk.wire.firmware.names import PackageName, encode_name, read_name

MAX_REPORT_BYTES = 64 * 1024

_ENUMERATED = 0x0A
_DECRYPT_KEY, _CONFIG = 0x81, 0xA1


@dataclass(frozen=True)
class LoadReceipt:
    """FirmwarePackageLoadReceipt.

    Attributes:
        hw_type: of the module, dotted.
        serial: of the module.
        name: of the package.
        anchor_key: key identifier of the trust anchor, or None.
        decrypt_key: names the key the package was encrypted with, if it was.
    """

    hw_type: str
    serial: bytes
    name: PackageName
    anchor_key: bytes | None = None
    decrypt_key: bytes | None = None

    def encode(self) -> bytes:
        """DER; the version is the default, which is left out."""
        return der.sequence(
            der.oid(self.hw_type),
            der.tlv(OCTET_STRING, self.serial),
            encode_name(self.name),
            b"" if self.anchor_key is None else der.tlv(OCTET_STRING, self.anchor_key),
            b"" if self.decrypt_key is None else der.tlv(_DECRYPT_KEY, self.decrypt_key),
        )


@dataclass(frozen=True)
class LoadError:
    """FirmwarePackageLoadError.

    Attributes:
        hw_type: of the module, dotted.
        serial: of the module.
        code: why; a vendor's code has to come with OTHER_ERROR and no other.
        vendor_code: of the vendor.
        name: of the package, if that could be read.
        config: what is installed: type, if there is one, and name of each.
    """

    hw_type: str
    serial: bytes
    code: LoadErrorCode
    vendor_code: int | None = None
    name: PackageName | None = None
    config: tuple[tuple[int | None, PackageName], ...] = ()

    def encode(self) -> bytes:
        """DER; the version is the default, which is left out."""
        members = (
            der.sequence(b"" if kind is None else der.integer(kind), encode_name(name)) for kind, name in self.config
        )
        return der.sequence(
            der.oid(self.hw_type),
            der.tlv(OCTET_STRING, self.serial),
            der.tlv(_ENUMERATED, bytes([self.code])),
            b"" if self.vendor_code is None else der.integer(self.vendor_code),
            b"" if self.name is None else encode_name(self.name),
            der.tlv(_CONFIG, b"".join(members)) if self.config else b"",
        )


def read_receipt(encoded: bytes) -> LoadReceipt:
    """Read a receipt.

    Raises:
        WireError: it is none.
    """
    try:
        data, hw_type, serial = _begin(encoded)
        name = read_name(data)
        anchor = data.octets() if data.next_tag == OCTET_STRING else None
        key = data.contents(_DECRYPT_KEY) if data.next_tag == _DECRYPT_KEY else None
        data.finish()
        return LoadReceipt(hw_type, serial, name, anchor, key)
    except (ValueError, KeyError) as error:
        raise WireError(f"not a firmware package load receipt: {error}", what="FirmwarePackageLoadReceipt") from error


def read_error(encoded: bytes) -> LoadError:
    """Read an error report.

    Raises:
        WireError: it is none.
    """
    try:
        data, hw_type, serial = _begin(encoded)
        code = LoadErrorCode(int.from_bytes(data.contents(_ENUMERATED), "big"))
        vendor = data.integer() if data.next_tag == INTEGER else None
        name = read_name(data) if data.next_tag in (SEQUENCE, OCTET_STRING) else None
        config = _read_config(data.enter(_CONFIG)) if data.next_tag == _CONFIG else ()
        data.finish()
        return LoadError(hw_type, serial, code, vendor, name, config)
    except (ValueError, KeyError) as error:
        raise WireError(f"not a firmware package load error: {error}", what="FirmwarePackageLoadError") from error


def _begin(encoded: bytes) -> tuple[Reader, str, bytes]:
    if len(encoded) > MAX_REPORT_BYTES:
        raise ValueError("too long")
    outer = Reader(encoded)
    data = outer.enter()
    outer.finish()
    if data.next_tag != OID and data.integer() != 1:
        raise ValueError("another version")
    return data, data.oid(), data.octets()


def _read_config(members: Reader) -> tuple[tuple[int | None, PackageName], ...]:
    found = []
    while members.next_tag is not None:
        one = members.enter()
        found.append((one.integer() if one.next_tag == INTEGER else None, read_name(one)))
        one.finish()
    return tuple(found)
