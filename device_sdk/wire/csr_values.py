"""Values for what a server asks for and the caller's specification does not hold: from the caller's ValueSource."""

from __future__ import annotations

import logging
from dataclasses import replace

from cryptography import x509

from device_sdk.errors import ConfigurationError, WireError
from device_sdk.model.csr import Asked, CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.wire import csrattrs_oids as oids
from device_sdk.wire import der
from device_sdk.wire.ber import contents_of
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.names import check_name, parse_dn, parse_san

_log = logging.getLogger(__name__)

# Attributes of requests whose string type is not DirectoryString (RFC 2985 sections 5.1, 5.2, 5.5.1; RFC 2307).
_BMP_TYPES = ("1.2.840.113549.1.9.20",)
_IA5_TYPES = (oids.MAC_ADDRESS, "1.2.840.113549.1.9.1", "1.2.840.113549.1.9.2")
# What a person knows it by, and the option of the command line that gives it.
_KNOWN = {
    oids.MAC_ADDRESS: "MAC address, --mac",
    "2.5.4.5": "serial number, --serial or --subject",
    "1.3.6.1.5.5.7.8.4": "hardware module name, --hardware-type with --serial",
    oids.OTP_CHALLENGE: "one-time password, --otp-file or --otp-fd",
    oids.REVOCATION_CHALLENGE: "revocation password, --revocation-password-file or --revocation-password-fd",
}
# Entries that are containers, and no attribute anybody could give a value for.
_CONTAINERS = (oids.EXTENSION_REQUEST, oids.TEMPLATE, *oids.EXTENSION_REQUEST_TEMPLATE)


def filled(spec: CsrSpec, wishes: CsrAttributes) -> CsrSpec:
    """The specification with what the source has for the server's wishes about MAC address, challenges, subject and attributes.

    Extensions and alternative names are asked for where they are merged, see csr_extensions.

    Raises:
        ConfigurationError: the source gave something that does not fit its place.
    """
    spec = _with_mac(spec, wishes)
    spec = _with_challenges(spec, wishes)
    spec = _with_subject(spec, wishes)
    return _with_attributes(spec, wishes)


def known_as(asked: Asked) -> str:
    """What a person knows it by, and how it is given on the command line."""
    words, _, options = _KNOWN.get(asked.oid, "").partition(", ")
    return f"{words} ({options})" if words else f"{asked.place} {asked.oid} (--attribute {asked.oid}=VALUE)"


def ask(spec: CsrSpec, asked: Asked) -> bytes | str | None:
    """What the source has, if there is one; a missing value is logged, louder where a template has an empty place for it."""
    value = spec.values(asked) if spec.values else None
    if value is None:
        quiet = asked.place == "attribute" and asked.oid not in (oids.OTP_CHALLENGE, oids.REVOCATION_CHALLENGE)
        known = f" ({_KNOWN[asked.oid]})" if asked.oid in _KNOWN else ""
        level = logging.INFO if quiet else logging.WARNING
        _log.log(
            level, "the server asks for %s %s%s, there is no value for it: left out", asked.place, asked.oid, known
        )
    return value


def value_of(asked: Asked, value: bytes | str) -> bytes:
    """DER of the value for an attribute or an extension.

    Raises:
        ConfigurationError: bytes that are not one DER element, or text for an extension.
    """
    if isinstance(value, bytes):
        return _one_element(asked, value)
    if asked.place == "extension":
        raise ConfigurationError(f"the value for extension {asked.oid} has to be given as DER")
    if asked.oid in _BMP_TYPES:
        return der.tlv(0x1E, value.encode("utf-16-be"))
    if asked.oid in _IA5_TYPES:
        return der.ia5_string(_ascii(asked, value))
    return der.directory_string(value)


def general_name_of(asked: Asked, value: bytes | str) -> bytes:
    """DER of one GeneralName, from DER, from an IP address or from a distinguished name.

    Raises:
        ConfigurationError: not one of them.
    """
    if isinstance(value, bytes):
        return _one_element(asked, value)
    name = x509.DirectoryName(parse_dn(value)) if "=" in value else parse_san(f"IP:{value}")
    return contents_of(x509.SubjectAlternativeName([name]).public_bytes())


def _one_element(asked: Asked, value: bytes) -> bytes:
    try:
        contents_of(value)
    except WireError as error:
        raise ConfigurationError(f"the value for {asked.place} {asked.oid} is not one DER element") from error
    return value


def _ascii(asked: Asked, value: str) -> str:
    if not value.isascii():
        raise ConfigurationError(f"the value for attribute {asked.oid} holds characters outside ASCII")
    return value


def _with_mac(spec: CsrSpec, wishes: CsrAttributes) -> CsrSpec:
    if not wishes.wants_mac or spec.device.mac_address is not None:
        return spec
    asked = Asked("attribute", oids.MAC_ADDRESS)
    value = ask(spec, asked)
    if value is None:
        return spec
    if isinstance(value, bytes):
        raise ConfigurationError("the MAC address has to be given as text")
    return replace(spec, device=replace(spec.device, mac_address=value))


def _with_challenges(spec: CsrSpec, wishes: CsrAttributes) -> CsrSpec:
    otp, revocation = spec.otp_challenge, spec.revocation_challenge
    if otp is None and oids.OTP_CHALLENGE in wishes.challenges:
        otp = _asked_secret(spec, oids.OTP_CHALLENGE)
    if revocation is None and oids.REVOCATION_CHALLENGE in wishes.challenges:
        revocation = _asked_secret(spec, oids.REVOCATION_CHALLENGE)
    return replace(spec, otp_challenge=otp, revocation_challenge=revocation)


def _asked_secret(spec: CsrSpec, oid: str) -> Secret | None:
    value = ask(spec, Asked("attribute", oid))
    return None if value is None else Secret(value.encode() if isinstance(value, str) else value)


def _with_subject(spec: CsrSpec, wishes: CsrAttributes) -> CsrSpec:
    """The subject with what is missing: types listed by bare OID, and open parts of a template (EST-177, EST-182)."""
    open_parts = [part.oid for part in wishes.subject or () if part.value is None]
    present = [attribute.oid.dotted_string for attribute in spec.subject]
    if spec.device.serial_number is not None:
        present.append(x509.NameOID.SERIAL_NUMBER.dotted_string)
    rdns = list(spec.subject.rdns)
    for oid in open_parts if wishes.subject is not None else wishes.subject_types:
        if oid in present:
            present.remove(oid)
            continue
        value = ask(spec, Asked("subject", oid))
        if value is not None:
            rdns.append(x509.RelativeDistinguishedName([_name_attribute(oid, value)]))
    return spec if len(rdns) == len(spec.subject.rdns) else replace(spec, subject=x509.Name(rdns))


def _name_attribute(oid: str, value: bytes | str) -> x509.NameAttribute[str]:
    if isinstance(value, bytes):
        raise ConfigurationError(f"the value for subject attribute {oid} has to be given as text")
    try:
        attribute = x509.NameAttribute(x509.ObjectIdentifier(oid), value)
    except ValueError as error:
        raise ConfigurationError(f"the value for subject attribute {oid} does not fit it: {error}") from error
    check_name(x509.Name([attribute]))
    return attribute


def _with_attributes(spec: CsrSpec, wishes: CsrAttributes) -> CsrSpec:
    given = {oid for oid, _ in spec.attributes}
    more: dict[str, bytes] = {}
    for element in wishes.unknown:
        if element.oid in given or element.oid in more or element.oid in _CONTAINERS:
            continue
        asked = Asked("attribute", element.oid, element.values)
        value = ask(spec, asked)
        if value is not None:
            more[element.oid] = value_of(asked, value)
    return replace(spec, attributes=(*spec.attributes, *more.items())) if more else spec
