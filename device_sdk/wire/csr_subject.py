"""The subject of a CSR: the caller's name, or the one a template spells out."""

from __future__ import annotations

import logging

from asn1crypto import core
from cryptography import x509
from cryptography.x509.oid import NameOID

from device_sdk.errors import ConfigurationError
from device_sdk.model.csr import CsrSpec
from device_sdk.wire import der
from device_sdk.wire.ber import contents_of
from device_sdk.wire.csrattrs_key import clash
from device_sdk.wire.csrattrs_template import SubjectPart
from device_sdk.wire.modest import ASN1CRYPTO_ERRORS
from device_sdk.wire.names import check_name

# The choices of DirectoryString (RFC 5280 section 4.1.2.4), and IA5String.
_STRINGS = frozenset(bytes([tag]) for tag in (0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E))

_log = logging.getLogger(__name__)


def request_subject(spec: CsrSpec, template: tuple[SubjectPart, ...] | None) -> bytes:
    """DER of the subject.

    Without a template: the caller's subject, and the device's serial number behind it unless it has one. With a
    template: exactly its parts, the open ones filled with the caller's attributes of that type in order; a type that the
    template does not list is not expected and left out (RFC 9908 section 3.4, EST-182). The caller's name is taken as it
    is, character by character: it may be that of a certificate to renew (EST-150).

    Raises:
        ConfigurationError: a serial number that does not fit its attribute.
        CsrAttributesError: the template fixes a value, and the caller gave another one.
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
    _check_fixed(available, template)
    rdns: list[list[bytes]] = []
    for part in template:
        encoded = _fixed(part) if part.value is not None else _taken(part, available)
        if encoded is None:
            continue  # nobody has a value, see csr_values.ask
        if part.joined and rdns:
            rdns[-1].append(encoded)
        else:
            rdns.append([encoded])
    for attribute in available:
        _log.warning(
            "the server's template has no place for subject attribute %s: left out", attribute.oid.dotted_string
        )
    return der.sequence(*(der.set_of(rdn) for rdn in rdns))


def _check_fixed(available: list[x509.NameAttribute[str | bytes]], template: tuple[SubjectPart, ...]) -> None:
    """Take what the template says as well out of the caller's attributes; what it says differently is an error (EST-178)."""
    open_types = {part.oid for part in template if part.value is None}
    fixed = {part.oid: _text_of(part) for part in template if part.value is not None}
    said = {(part.oid, _text_of(part)) for part in template if part.value is not None}
    for attribute in list(available):
        oid = attribute.oid.dotted_string
        if (oid, attribute.value) in said:
            available.remove(attribute)
        elif oid in fixed and oid not in open_types:
            raise clash(f"subject attribute {oid}", repr(fixed[oid]), repr(attribute.value))


def _text_of(part: SubjectPart) -> str | bytes:
    """The text of a fixed part; its DER if it is no string."""
    encoded = part.value or b""
    if encoded[:1] not in _STRINGS:
        return encoded
    try:
        return str(core.load(encoded, strict=True).native)
    except ASN1CRYPTO_ERRORS:
        return encoded


def _fixed(part: SubjectPart) -> bytes:
    return der.sequence(der.oid(part.oid), part.value or b"")


def _taken(part: SubjectPart, available: list[x509.NameAttribute[str | bytes]]) -> bytes | None:
    """The caller's next attribute of that type, as AttributeTypeAndValue."""
    for attribute in available:
        if attribute.oid.dotted_string == part.oid:
            available.remove(attribute)
            return contents_of(contents_of(x509.Name([attribute]).public_bytes()))
    return None
