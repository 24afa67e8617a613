"""How a maker's certificate names the device: where its serial number is (IEEE 802.1AR, RFC 4108 section 5, EST-32, EST-33)."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography import x509
from pyasn1.codec.der.decoder import decode
from pyasn1.error import PyAsn1Error
from pyasn1_alt_modules import rfc4108

SERIAL_NUMBER = x509.NameOID.SERIAL_NUMBER.dotted_string
HARDWARE_MODULE_NAME = str(rfc4108.id_on_hardwareModuleName)


def serial_numbers(certificate: x509.Certificate, fields: Mapping[str, str]) -> list[str]:
    """The device's serial numbers; none if its maker writes none where they are looked for.

    Args:
        certificate: the device's.
        fields: by the RFC 4514 name of the CA that issued it, the subject attribute to look at, or hardwareModuleName,
            whose hwSerialNum counts in lower-case hex; serialNumber (2.5.4.5) for every other CA.
    """
    field = fields.get(certificate.issuer.rfc4514_string(), SERIAL_NUMBER)
    if field == HARDWARE_MODULE_NAME:
        return _hardware_serials(certificate)
    return [str(one.value) for one in certificate.subject.get_attributes_for_oid(x509.ObjectIdentifier(field))]


def _hardware_serials(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        others = names.get_values_for_type(x509.OtherName)
        values = [one.value for one in others if one.type_id.dotted_string == HARDWARE_MODULE_NAME]
        found = [decode(value, asn1Spec=rfc4108.HardwareModuleName()) for value in values]
    except (x509.ExtensionNotFound, PyAsn1Error):
        return []
    return [bytes(name["hwSerialNum"]).hex() for name, rest in found if not rest]
