"""The subject of a CSR: the caller's name, or the one a template spells out."""

from __future__ import annotations

import logging

from cryptography import x509
from cryptography.x509.oid import NameOID

from device_sdk.errors import ConfigurationError
from device_sdk.model.csr import CsrSpec
from device_sdk.wire import der
from device_sdk.wire.ber import contents_of
from device_sdk.wire.csrattrs_template import SubjectPart
from device_sdk.wire.names import check_name

_log = logging.getLogger(__name__)


def request_subject(spec: CsrSpec, template: tuple[SubjectPart, ...] | None) -> bytes:
    """DER of the subject.

    Without a template: the caller's subject, and the device's serial number behind it unless it has one. With a
    template: exactly its parts, the open ones filled with the caller's attributes of that type in order; what the
    template does not list is not expected and left out (RFC 9908 section 3.4, EST-182). The caller's name is taken as it
    is, character by character: it may be that of a certificate to renew (EST-150).

    Raises:
        ConfigurationError: a serial number that does not fit its attribute.
    """
    name = _with_serial_number(spec)
    return name.public_bytes() if template is None else _from_template(name, template)


def _with_serial_number(spec: CsrSpec) -> x509.Name:
    serial = spec.device.serial_number
    if serial is None or spec.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER):
        return spec.subject
    return x509.Name([*spec.subject.rdns, x509.RelativeDistinguishedName([serial_number(serial)])])


def serial_number(text: str) -> x509.NameAttribute[str]:
    """The subject attribute serialNumber.

    Raises:
        ConfigurationError: empty, over 64 characters, or characters PrintableString does not have.
    """
    if not text:
        raise ConfigurationError("the device's serial number is empty")
    attribute = x509.NameAttribute(NameOID.SERIAL_NUMBER, text)
    check_name(x509.Name([attribute]))
    return attribute


def _from_template(name: x509.Name, template: tuple[SubjectPart, ...]) -> bytes:
    available = list(name)
    rdns: list[list[bytes]] = []
    for part in template:
        encoded = _fixed(part) if part.value is not None else _taken(part, available)
        if encoded is None:
            _log.warning("the server asks for subject attribute %s, there is no value for it: left out", part.oid)
        elif part.joined and rdns:
            rdns[-1].append(encoded)
        else:
            rdns.append([encoded])
    for attribute in available:
        _log.info("the server's template has no place for subject attribute %s: left out", attribute.oid.dotted_string)
    return der.sequence(*(der.set_of(rdn) for rdn in rdns))


def _fixed(part: SubjectPart) -> bytes:
    return der.sequence(der.oid(part.oid), part.value or b"")


def _taken(part: SubjectPart, available: list[x509.NameAttribute[str | bytes]]) -> bytes | None:
    """The caller's next attribute of that type, as AttributeTypeAndValue."""
    for attribute in available:
        if attribute.oid.dotted_string == part.oid:
            available.remove(attribute)
            return contents_of(contents_of(x509.Name([attribute]).public_bytes()))
    return None
