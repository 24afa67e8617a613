"""Receipts and errors as devices send them, read (RFC 4108 sections 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc4108

from device_sdk_simulators.cmc.message import Message, read_message
from device_sdk_simulators.cmc.refusal import CmcRefusedError
from device_sdk_simulators.unreadable import UNREADABLE

_RECEIPT, _ERROR = str(rfc4108.id_ct_firmwareLoadReceipt), str(rfc4108.id_ct_firmwareLoadError)
_OTHER_ERROR = 99


class BadReportError(ValueError):
    """A report that is not one."""


@dataclass(frozen=True)
class Report:
    """One report.

    Attributes:
        hardware: type and serial number, "1.2.3 00ff".
        code: 0 for a receipt, else the error's number.
        name: DER of the package's name, hex; empty if it has none.
        message: with its signature, which nobody has verified yet.
    """

    hardware: str
    code: int
    name: str
    message: Message = field(repr=False)


def read_report(message: bytes) -> Report:
    """Read a signed report; BadReportError for everything else, an unsigned one included."""
    try:
        return _read(message)
    except CmcRefusedError as error:
        raise BadReportError(str(error)) from error
    except UNREADABLE as error:
        raise BadReportError(str(error) or "not a report") from error


def _read(message: bytes) -> Report:
    found = read_message(message, content_types=(_RECEIPT, _ERROR))
    if found.signer is None:
        raise BadReportError("nobody signed it")
    if found.signer.has_unsigned:
        raise BadReportError("it has unsigned attributes")
    if found.content_type == _RECEIPT:
        body, code = _decoded(found.content, rfc4108.FirmwarePackageLoadReceipt()), 0
    else:
        body = _decoded(found.content, rfc4108.FirmwarePackageLoadError())
        code = int(body["errorCode"])
        if (code == _OTHER_ERROR) is not body["vendorErrorCode"].isValue:
            raise BadReportError("a vendor's error code comes with otherError, and with nothing else")
    name = bytes(encode(body["fwPkgName"])).hex() if body["fwPkgName"].isValue else ""
    return Report(f"{body['hwType']} {bytes(body['hwSerialNum']).hex()}", code, name, found)


def _decoded(data: bytes, kind: Any) -> Any:
    found, rest = decode(data, asn1Spec=kind)
    if rest:
        raise BadReportError("something behind it")
    return found
