"""What a station makes sure of itself: who a device says it is, and that what it asks for is for that device."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from device_sdk.client.bench import BenchKey, DeviceFacts
from device_sdk.errors import ConfigurationError, WireError, WrongDeviceError
from device_sdk.protocols.est.ca_certificates import spki
from device_sdk.station.profile.identity import IdentityTable
from device_sdk.wire.hardware_module_name import OID as HARDWARE_MODULE_NAME
from device_sdk.wire.hardware_module_name import parse_hardware_module_name
from device_sdk.wire.mac_address import parse_mac

_MAX_SERIAL = 64
_SHA256 = re.compile(r"[0-9a-f]{64}")
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    WireError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What reading a certificate or request of a device can end in."""


def check_facts(facts: DeviceFacts, rules: IdentityTable, allowed: frozenset[str] | None) -> None:
    """Whether this is a device the profile is for.

    Args:
        facts: what it says.
        rules: the profile's.
        allowed: the serial numbers that are expected, None for all.

    Raises:
        WrongDeviceError: it is not.
    """
    serial = facts.serial_number
    if not serial or len(serial) > _MAX_SERIAL or not serial.isprintable() or serial != serial.strip():
        raise WrongDeviceError(f"it calls itself {serial[:_MAX_SERIAL]!a}, which cannot be a serial number")
    if rules.serial_number is not None and not rules.serial_number.fullmatch(serial):
        raise _not_ours(serial, "is not of the form that the profile takes", "the wrong profile, or the wrong device?")
    if allowed is not None and serial not in allowed:
        raise _not_ours(serial, f"is not on the list {rules.allowed}", "add it there if it belongs to this batch")
    if len(facts.macs) < rules.macs:
        raise _not_ours(serial, f"names {len(facts.macs)} MAC addresses, and {rules.macs} are needed", None)
    for mac in facts.macs:
        try:
            canonical = parse_mac(mac)
        except ConfigurationError as error:
            raise _not_ours(serial, f"names a MAC address that cannot be one: {error.message}", None) from error
        if rules.oui and canonical[:8] not in rules.oui:
            raise _not_ours(serial, f"has the MAC address {canonical}, which is not of this maker", None)
    if facts.enrolled is not None and not _SHA256.fullmatch(facts.enrolled):
        raise _not_ours(serial, "names a certificate by something that is no SHA-256", None)


def _not_ours(serial: str, words: str, hint: str | None) -> WrongDeviceError:
    return WrongDeviceError(f"{serial} {words}", hint=hint, serial_number=serial)


def check_same(serial_number: str, facts: DeviceFacts) -> None:
    """The device on the line is still this one.

    Raises:
        WrongDeviceError: it is not.
    """
    if facts.serial_number != serial_number:
        raise WrongDeviceError(
            f"the line was {serial_number}'s, and now {facts.serial_number[:_MAX_SERIAL]!r} answers on it",
            hint="put the first one back, or let it fail; nothing that was meant for it was given to the other",
            serial_number=serial_number,
        )


def check_key(key: BenchKey, attested: dict[str, bool | str | int]) -> None:
    """What the device's keystore says of the key is what the profile asks for.

    Raises:
        WrongDeviceError: it is not.
    """
    for name, wanted in attested.items():
        said = key.attestation.get(name)
        if said != wanted or isinstance(said, bool) != isinstance(wanted, bool):
            shown = "nothing" if said is None else ascii(said)[:64]
            raise WrongDeviceError(f"of its key the profile wants {name} = {wanted}, and the device says {shown}")


def check_certificate(certificate: x509.Certificate, serial_number: str, rules: IdentityTable) -> None:
    """A certificate names this device.

    Raises:
        WrongDeviceError: it names another, or none.
    """
    try:
        names = _serial_numbers(certificate.subject, _alternatives(certificate.extensions), rules.in_certificate)
    except UNREADABLE as error:
        raise WrongDeviceError("the names in the device's certificate cannot be read") from error
    _require_serial(serial_number, names, "certificate")


def _require_serial(serial_number: str, names: Sequence[str], what: str) -> None:
    if serial_number not in names:
        shown = ", ".join(ascii(name)[:80] for name in names[:3]) or "none"
        raise WrongDeviceError(
            f"the device calls itself {serial_number}, and its {what} does not name that (but {shown})",
            hint="the profile's [device] config decides what it is named ([identity] in_certificate: where to look)",
        )


def _serial_numbers(subject: x509.Name, alternatives: x509.SubjectAlternativeName | None, where: str) -> list[str]:
    found: list[str] = []
    if where != "common-name":
        found += [str(one.value) for one in subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)]
        found += _hardware_serials(alternatives)
    if where != "serial-number":
        found += [str(one.value) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return found


def _hardware_serials(alternatives: x509.SubjectAlternativeName | None) -> list[str]:
    others = alternatives.get_values_for_type(x509.OtherName) if alternatives is not None else []
    names = [one for one in others if one.type_id == HARDWARE_MODULE_NAME]
    return [parse_hardware_module_name(one)[1].decode("utf-8", "replace") for one in names]


def _alternatives(extensions: x509.Extensions) -> x509.SubjectAlternativeName | None:
    try:
        return extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def check_same_key(certificate: x509.Certificate, public_keys: Iterable[bytes | None]) -> None:
    """The certificate is for the key that was made, attested and asked for.

    Args:
        certificate: what the device proved.
        public_keys: DER of each key that has to be the same; None where there was none.

    Raises:
        WrongDeviceError: it is for another one.
    """
    shown = spki(certificate)
    if any(one is not None and one != shown for one in public_keys):
        raise WrongDeviceError("the device proved a certificate for another key than the one it made")
