"""The certificate request of a simulated device."""

from __future__ import annotations

import tomllib
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from pyasn1.codec.der.decoder import decode
from pyasn1.error import PyAsn1Error

from device_sdk_simulators.serial.board_keys import BoardKey

MAC_ADDRESS = x509.ObjectIdentifier("1.3.6.1.1.1.1.22")


class ConfigurationRefusedError(ValueError):
    """The device cannot do with this configuration, or these attributes; the text says why."""


def read_configuration(config: bytes) -> dict[str, Any]:
    """The configuration; ConfigurationRefusedError."""
    try:
        return tomllib.loads(config.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationRefusedError(f"the configuration is not TOML: {str(error)[:200]}") from error


def section(config: dict[str, Any], name: str) -> dict[str, Any]:
    """A table of the configuration, empty where there is none."""
    found = config.get(name, {})
    if not isinstance(found, dict):
        raise ConfigurationRefusedError(f"[{name}] is no table")
    return found


def build_request(key: BoardKey, config: dict[str, Any], serial_number: str, mac: str | None, csrattrs: bytes) -> bytes:
    """A DER PKCS#10 request; ConfigurationRefusedError.

    Args:
        key: signs it.
        config: the device's configuration, of which `[identity]` counts.
        serial_number: the device's, in the subject.
        mac: the device's MAC address, in the request where `csrattrs` asks for one or the configuration names one.
        csrattrs: DER CsrAttrs of the server, or b"".
    """
    identity = section(config, "identity")
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(identity, serial_number))
    if mac and (identity.get("mac") or _asks_for_mac(csrattrs)):
        builder = builder.add_attribute(MAC_ADDRESS, mac.encode(), _tag=_ASN1Type.IA5String)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def _subject(identity: dict[str, Any], serial_number: str) -> x509.Name:
    text = str(identity.get("subject", "")).replace("{serial}", serial_number) or f"CN={serial_number}"
    try:
        name = x509.Name.from_rfc4514_string(text)
        if not name.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER):
            name = x509.Name([*name.rdns, _serial(serial_number)])
    except ValueError as error:
        raise ConfigurationRefusedError(f"identity.subject: {str(error)[:200]}") from error
    return name


def _serial(serial_number: str) -> x509.RelativeDistinguishedName:
    return x509.RelativeDistinguishedName([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, serial_number)])


def _asks_for_mac(csrattrs: bytes) -> bool:
    """Whether the macAddress is listed, in whichever form; ConfigurationRefusedError if it is no CsrAttrs at all."""
    if not csrattrs:
        return False
    try:
        items, rest = decode(csrattrs)
        if rest:
            raise ConfigurationRefusedError("there is something after the CsrAttrs")
        return any(MAC_ADDRESS.dotted_string in str(item) for item in items)
    except (PyAsn1Error, TypeError, ValueError, RecursionError) as error:
        raise ConfigurationRefusedError("the CsrAttrs cannot be read") from error
