"""Receipts and errors as devices send them: read, and their signature verified (RFC 4108 sections 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc4108, rfc5652

from device_sdk_simulators.packages.signing import key_identifier
from device_sdk_simulators.unreadable import UNREADABLE

_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256,
    "2.16.840.1.101.3.4.2.2": hashes.SHA384,
    "2.16.840.1.101.3.4.2.3": hashes.SHA512,
}
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
        signer: the certificate whose key signed.
    """

    hardware: str
    code: int
    name: str
    signer: x509.Certificate


def read_report(message: bytes) -> Report:
    """Read a signed report; BadReportError for everything else, an unsigned one included."""
    try:
        return _read(message)
    except InvalidSignature as error:
        raise BadReportError("the signature is bad") from error
    except UNREADABLE as error:
        raise BadReportError(str(error) or "not a report") from error


def _read(message: bytes) -> Report:
    info = _decoded(message, rfc5652.ContentInfo())
    if info["contentType"] != rfc5652.id_signedData:
        raise BadReportError("nobody signed it")
    data = _decoded(bytes(info["content"]), rfc5652.SignedData())
    kind, content = data["encapContentInfo"]["eContentType"], bytes(data["encapContentInfo"]["eContent"])
    if len(data["signerInfos"]) != 1:
        raise BadReportError("not exactly one signer")
    signer = _verified(data, data["signerInfos"][0], kind, content)
    if kind == rfc4108.id_ct_firmwareLoadReceipt:
        body, code = _decoded(content, rfc4108.FirmwarePackageLoadReceipt()), 0
    elif kind == rfc4108.id_ct_firmwareLoadError:
        body = _decoded(content, rfc4108.FirmwarePackageLoadError())
        code = int(body["errorCode"])
        if (code == _OTHER_ERROR) is not body["vendorErrorCode"].isValue:
            raise BadReportError("a vendor's error code comes with otherError, and with nothing else")
    else:
        raise BadReportError("neither a receipt nor an error")
    name = bytes(encode(body["fwPkgName"])).hex() if body["fwPkgName"].isValue else ""
    return Report(f"{body['hwType']} {bytes(body['hwSerialNum']).hex()}", code, name, signer)


def _verified(data: Any, info: Any, kind: Any, content: bytes) -> x509.Certificate:
    if info["unsignedAttrs"].isValue:
        raise BadReportError("it has unsigned attributes")
    algorithm = _HASHES[str(info["digestAlgorithm"]["algorithm"])]()
    said = {str(one["attrType"]): [bytes(value) for value in one["attrValues"]] for one in info["signedAttrs"]}
    hasher = hashes.Hash(algorithm)
    hasher.update(content)
    expected = {
        str(rfc5652.id_contentType): [bytes(encode(kind))],
        str(rfc5652.id_messageDigest): [b"\x04" + bytes([algorithm.digest_size]) + hasher.finalize()],
    }
    if any(said.get(oid) != value for oid, value in expected.items()):
        raise BadReportError("content type or digest are not those of the content")
    certificates = [x509.load_der_x509_certificate(bytes(encode(one["certificate"]))) for one in data["certificates"]]
    named = bytes(info["sid"]["subjectKeyIdentifier"])
    signer = next((one for one in certificates if key_identifier(one) == named), None)
    if signer is None:
        raise BadReportError("the signer's certificate is not in it")
    signed = b"\x31" + bytes(encode(info["signedAttrs"]))[1:]
    key, signature = signer.public_key(), bytes(info["signature"])
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, signed, ec.ECDSA(algorithm))
    elif isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, signed, padding.PKCS1v15(), algorithm)
    else:
        raise BadReportError("a key of no kind this server knows")
    return signer


def _decoded(data: bytes, kind: Any) -> Any:
    found, rest = decode(data, asn1Spec=kind)
    if rest:
        raise BadReportError("something behind it")
    return found
