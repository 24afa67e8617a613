"""Names as people type them: distinguished names and subject alternative names."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping

from cryptography import x509
from cryptography.x509.oid import NameOID

from device_sdk.errors import ConfigurationError
from device_sdk.wire.hardware_module_name import hardware_module_name

MAX_TEXT = 4096
MAX_SERIAL_NUMBER = 64

_TYPES = {
    "cn": NameOID.COMMON_NAME,
    "commonname": NameOID.COMMON_NAME,
    "serialnumber": NameOID.SERIAL_NUMBER,
    "c": NameOID.COUNTRY_NAME,
    "countryname": NameOID.COUNTRY_NAME,
    "l": NameOID.LOCALITY_NAME,
    "localityname": NameOID.LOCALITY_NAME,
    "st": NameOID.STATE_OR_PROVINCE_NAME,
    "stateorprovincename": NameOID.STATE_OR_PROVINCE_NAME,
    "street": NameOID.STREET_ADDRESS,
    "o": NameOID.ORGANIZATION_NAME,
    "organizationname": NameOID.ORGANIZATION_NAME,
    "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "organizationalunitname": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "dc": NameOID.DOMAIN_COMPONENT,
    "uid": NameOID.USER_ID,
    "emailaddress": NameOID.EMAIL_ADDRESS,
    "title": NameOID.TITLE,
    "dnqualifier": NameOID.DN_QUALIFIER,
    "gn": NameOID.GIVEN_NAME,
    "givenname": NameOID.GIVEN_NAME,
    "sn": NameOID.SURNAME,
    "surname": NameOID.SURNAME,
    "pseudonym": NameOID.PSEUDONYM,
}
_PRINTABLE_TYPES = {NameOID.SERIAL_NUMBER, NameOID.COUNTRY_NAME, NameOID.DN_QUALIFIER}
_IA5_TYPES = {NameOID.DOMAIN_COMPONENT, NameOID.EMAIL_ADDRESS}
_PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


class _AnyCase(dict[str, x509.ObjectIdentifier]):
    """Attribute types by name; their case means nothing (RFC 4514 section 2.3)."""

    def get(self, key: str, default: x509.ObjectIdentifier | None = None) -> x509.ObjectIdentifier | None:  # type: ignore[override]  # one signature of dict's three
        return super().get(key.lower(), default)


def parse_dn(text: str) -> x509.Name:
    """A distinguished name out of RFC 4514 text ("CN=router-1,serialNumber=42,O=Example") or OpenSSL's "/O=x/CN=y".

    RFC 4514 writes the most specific part first, OpenSSL last; "" is the empty name (EST-141). Types are names in any
    case or dotted OIDs; spaces around "," and "+" do not count, as in RFC 2253.

    Raises:
        ConfigurationError: another form, an unknown type, or a value its type cannot hold.
    """
    text = text.strip()
    if len(text) > MAX_TEXT:
        raise ConfigurationError(f"the distinguished name is longer than {MAX_TEXT} characters")
    if text.startswith("/"):
        name = _openssl_name(text)
    else:
        try:
            name = x509.Name.from_rfc4514_string(_tidy(text), attr_name_overrides=_AnyCase(_TYPES))
        except ValueError as error:
            raise _not_a_name(text, error) from error
    check_name(name)
    return name


def shown_name(name: x509.Name, types: Mapping[x509.ObjectIdentifier, str] | None = None) -> str:
    """A name for people, as RFC 4514 writes it; control characters as hex pairs, which that RFC leaves open.

    Args:
        name: from anybody's certificate or request.
        types: words for types that the RFC knows by numbers only.
    """
    text = name.rfc4514_string(dict(types) if types else None)
    return "".join(
        char if char.isprintable() else "".join(f"\\{byte:02X}" for byte in char.encode("utf-8", "replace"))
        for char in text
    )


def check_name(name: x509.Name) -> None:
    """Refuse what the encoder would write all the same.

    Raises:
        ConfigurationError: a character that PrintableString (serialNumber, C, dnQualifier; X.680 section 41.4) or
            IA5String (DC, emailAddress) does not have, or a serialNumber of over 64 characters (RFC 5280 A.1).
    """
    for attribute in name:
        if attribute.oid in _IA5_TYPES and not str(attribute.value).isascii():
            raise ConfigurationError(f"{attribute.oid._name}={attribute.value!r}: only ASCII can be used here")
        if attribute.oid == NameOID.SERIAL_NUMBER and len(attribute.value) > MAX_SERIAL_NUMBER:
            raise ConfigurationError(f"a serialNumber of {len(attribute.value)} characters; {MAX_SERIAL_NUMBER} fit")
        if attribute.oid in _PRINTABLE_TYPES and not _PRINTABLE.fullmatch(str(attribute.value)):
            raise ConfigurationError(
                f"{attribute.oid._name}={attribute.value!r}: only letters, digits, space and '()+,-./:=? can be used here"
            )


def parse_san(text: str) -> x509.GeneralName:
    """One subject alternative name.

    "DNS:a.example", "IP:192.0.2.1", "URI:urn:dev:1", "email:a@b.example", "dirName:CN=x,O=y" (or "/O=y/CN=x"), and
    "HWMODULE:1.3.6.1.4.1.32473.1:0A0B0C" for a hardwareModuleName with the serial number in hex.

    Raises:
        ConfigurationError: another type, or a value that is not one of its type.
    """
    kind, separator, value = text.strip().partition(":")
    maker = _SAN_TYPES.get(kind.lower())
    if not separator or maker is None or len(text) > MAX_TEXT:
        raise ConfigurationError(
            f"{text[:80]!r} is not a subject alternative name",
            hint="write DNS:NAME, IP:ADDRESS, URI:..., email:..., dirName:DN or HWMODULE:OID:HEX",
        )
    return maker(value)


def dns_name(value: str) -> x509.DNSName:
    """A dNSName: dot-separated labels of letters, digits, hyphens and underscores; "*" may stand for the first.

    Raises:
        ConfigurationError: anything else; internationalised names go in as A-labels ("xn--...").
    """
    labels = value.split(".")
    if labels[0] == "*" and len(labels) > 1:
        labels = labels[1:]
    if len(value) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ConfigurationError(f"{value[:80]!r} is not a DNS name")
    return x509.DNSName(value)


def uri_name(value: str) -> x509.UniformResourceIdentifier:
    """A uniformResourceIdentifier: an absolute URI in ASCII (RFC 5280 section 4.2.1.6).

    Raises:
        ConfigurationError: no scheme, nothing after it, or characters a URI does not have.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+", value):
        raise ConfigurationError(f"{value[:80]!r} is not an absolute URI")
    return x509.UniformResourceIdentifier(value)


def _ip_address(value: str) -> x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(value))
    except ValueError as error:
        raise ConfigurationError(f"{value[:80]!r} is not an IP address") from error


def _email(value: str) -> x509.RFC822Name:
    if not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", value):
        raise ConfigurationError(f"{value[:80]!r} is not an e-mail address")
    return x509.RFC822Name(value)


def _directory_name(value: str) -> x509.DirectoryName:
    return x509.DirectoryName(parse_dn(value))


def _hardware_module(value: str) -> x509.OtherName:
    oid, separator, serial = value.partition(":")
    try:
        octets = bytes.fromhex(serial.replace(":", ""))
    except ValueError as error:
        raise ConfigurationError(f"HWMODULE:{value[:80]}: the serial number is written in hex digits") from error
    if not separator:
        raise ConfigurationError("HWMODULE needs an OID and a serial number: HWMODULE:1.3.6.1.4.1.32473.1:0A0B0C")
    return hardware_module_name(oid, octets)


_SAN_TYPES: dict[str, Callable[[str], x509.GeneralName]] = {
    "dns": dns_name,
    "ip": _ip_address,
    "uri": uri_name,
    "email": _email,
    "dirname": _directory_name,
    "hwmodule": _hardware_module,
}


def _tidy(text: str) -> str:
    """The text without unescaped spaces around its separators."""
    pieces = re.findall(r"(?:\\.|[^\\,+])+|[,+]", text)
    if "".join(pieces) != text:
        return text
    return "".join(re.sub(r"^ +|(?<!\\) +$", "", piece) for piece in pieces)


def _openssl_name(text: str) -> x509.Name:
    """OpenSSL's one-line form: "/type=value" most general part first, "+" joins one RDN, backslash escapes."""
    parts = re.findall(r"([/+])((?:\\.|[^/+\\])*)", text)
    if "".join(separator + part for separator, part in parts) != text:
        raise _not_a_name(text, ValueError("it ends in a backslash"))
    rdns: list[list[x509.NameAttribute[str]]] = []
    for separator, part in parts:
        key, equals, value = part.partition("=")
        oid = _TYPES.get(key.strip().lower())
        try:
            if not equals or not value:
                raise ValueError("a type=value pair is missing")
            attribute = x509.NameAttribute(oid or x509.ObjectIdentifier(key.strip()), re.sub(r"\\(.)", r"\1", value))
        except ValueError as error:
            raise _not_a_name(text, error) from error
        if separator == "/":
            rdns.append([attribute])
        else:
            rdns[-1].append(attribute)
    return x509.Name([x509.RelativeDistinguishedName(rdn) for rdn in rdns])


def _not_a_name(text: str, error: ValueError) -> ConfigurationError:
    reason = f": {error}" if str(error) else ""
    return ConfigurationError(
        f"{text[:80]!r} is not a distinguished name{reason}", hint="write it as CN=router-1,O=Example"
    )
