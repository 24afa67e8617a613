"""Receipts and errors, signed by the key of the module (RFC 4108 sections 3 and 4; FR-04, FR-05)."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509

from device_sdk.errors import ConfigurationError, FirmwareError, StateNotWritableError, WireError
from device_sdk.model.trust import TlsIdentity
from device_sdk.protocols.firmware.policy import HardwareModule
from device_sdk.protocols.firmware.record import FirmwareRecord
from device_sdk.wire.cms.signing import Signer, sign_data
from device_sdk.wire.firmware import FirmwarePackage, LoadError, LoadErrorCode, LoadReceipt, PackageName
from device_sdk.wire.firmware.oids import LOAD_ERROR, LOAD_RECEIPT
from device_sdk.wire.hardware_module_name import OID, parse_hardware_module_name

UNKNOWN_VENDOR_CODE = 1
"""Comes with otherError where nobody gave a code."""


def require_own(module: HardwareModule, leaf: x509.Certificate) -> None:
    """Make sure that the module's certificate, if it names a module at all, names this one (FR-05).

    Raises:
        ConfigurationError: it names another, or the module has no serial number.
    """
    if module.serial is None:
        raise ConfigurationError("reports name the module, which has no serial number", hint="give it (--hw-serial)")
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        named = [
            parse_hardware_module_name(one) for one in names.get_values_for_type(x509.OtherName) if one.type_id == OID
        ]
    except (x509.ExtensionNotFound, WireError):
        return
    if named and (module.hw_type, module.serial) not in named:
        raise ConfigurationError(
            f"the certificate is one of module {named[0][0]} {named[0][1].hex()}",
            hint="correct --hw-type and --hw-serial, or the settings firmware.hardware_type and firmware.serial: in hexadecimal, "
            "while identity.serial, which is in the certificate, is text",
        )


def receipt_for(module: HardwareModule, package: FirmwarePackage) -> LoadReceipt | None:
    """About a package that was loaded; None for one without a name, which nobody signed."""
    if package.attributes is None or module.serial is None:
        return None
    encrypted = package.attributes.decrypt_key
    return LoadReceipt(
        module.hw_type, module.serial, package.attributes.name, key_identifier(package.anchor), encrypted
    )


def error_for(
    module: HardwareModule, problem: Exception, name: PackageName | None, record: FirmwareRecord
) -> LoadError:
    """About a package that was not."""
    code, vendor = LoadErrorCode.OTHER_ERROR, None
    if isinstance(problem, FirmwareError) and problem.load_error is not None:
        code, vendor = LoadErrorCode(problem.load_error), problem.vendor_error
    elif isinstance(problem, StateNotWritableError):
        code = LoadErrorCode.INSUFFICIENT_MEMORY
    if code is LoadErrorCode.OTHER_ERROR and vendor is None:
        vendor = UNKNOWN_VENDOR_CODE
    config = tuple((one.kind, one.name) for one in record.installed)
    return LoadError(module.hw_type, module.serial or b"", code, vendor, name, config)


def signed_report(report: LoadReceipt | LoadError, signer: TlsIdentity, now: datetime) -> bytes:
    """DER of a SignedData with the certificate, which the signature names by its key identifier.

    Raises:
        KeyStoreError: the key could not sign.
    """
    kind = LOAD_RECEIPT if isinstance(report, LoadReceipt) else LOAD_ERROR
    leaf = signer.chain[0]
    own = Signer(signer.key, key_identifier=key_identifier(leaf))
    return sign_data(report.encode(), kind, own, certificates=signer.chain, signing_time=now)


def key_identifier(certificate: x509.Certificate | None) -> bytes | None:
    """What a certificate calls its key, or what it would."""
    if certificate is None:
        return None
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest
