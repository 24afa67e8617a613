"""hardwareModuleName, the SAN otherName that names a piece of hardware (RFC 4108 section 5, EST-33)."""

from __future__ import annotations

import re

from asn1crypto import core
from cryptography import x509

from device_sdk.errors import ConfigurationError, WireError
from device_sdk.wire.modest import ASN1CRYPTO_ERRORS

OID = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")
MAX_SERIAL_BYTES = 256
MAX_BYTES = 512


class _HardwareModuleName(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    _fields = [("hw_type", core.ObjectIdentifier), ("hw_serial_num", core.OctetString)]  # noqa: RUF012


def hardware_module_name(hardware_type: str, serial: bytes) -> x509.OtherName:
    """SEQUENCE { hwType OBJECT IDENTIFIER, hwSerialNum OCTET STRING } as an otherName.

    Args:
        hardware_type: dotted OID of the kind of hardware, from the manufacturer's own arc.
        serial: the serial number's bytes; whether they are text is the manufacturer's affair.

    Raises:
        ConfigurationError: not an OID, or a serial that is empty or longer than MAX_SERIAL_BYTES.
    """
    if not 0 < len(serial) <= MAX_SERIAL_BYTES:
        raise ConfigurationError(f"a hardware serial number has 1 to {MAX_SERIAL_BYTES} bytes, not {len(serial)}")
    value = _HardwareModuleName({"hw_type": object_identifier(hardware_type), "hw_serial_num": serial})
    return x509.OtherName(OID, value.dump())


def parse_hardware_module_name(name: x509.OtherName) -> tuple[str, bytes]:
    """The hwType as a dotted OID, and the hwSerialNum.

    Raises:
        WireError: another kind of otherName, or not its DER.
    """
    if name.type_id != OID:
        raise WireError(f"otherName {name.type_id.dotted_string} is not a hardwareModuleName", what="otherName")
    try:
        if len(name.value) > MAX_BYTES:
            raise ValueError("too long")
        value = _HardwareModuleName.load(name.value, strict=True)
        found = str(value["hw_type"].dotted), bytes(value["hw_serial_num"].native)
        # asn1crypto forgives an OID that is cut off; what was written by its result shows it.
        if _HardwareModuleName({"hw_type": found[0], "hw_serial_num": found[1]}).dump() != name.value:
            raise ValueError("not DER")
    except ASN1CRYPTO_ERRORS as error:
        raise WireError("a hardwareModuleName that does not follow RFC 4108", what="hardwareModuleName") from error
    return found


def object_identifier(text: str) -> str:
    """The text, if it is an OID in dotted form.

    Raises:
        ConfigurationError: it is not.
    """
    try:
        if not re.fullmatch(r"[0-9]{1,40}(\.[0-9]{1,40}){1,30}", text):
            raise ValueError(text)
        return x509.ObjectIdentifier(text).dotted_string
    except ValueError as error:
        raise ConfigurationError(f"{text[:64]!r} is not an object identifier such as 1.3.6.1.4.1.32473.1") from error
