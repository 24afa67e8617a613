"""What a station makes sure of itself: who a device says it is, and that what it asks for is for that device."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from device_sdk.client.bench import BenchKey, DeviceFacts
from device_sdk.client.bench.same import check_boot, check_same
from device_sdk.errors import ConfigurationError, WireError, WrongDeviceError
from device_sdk.protocols.est.ca_certificates import spki
from device_sdk.station.profile import Profile
from device_sdk.station.profile.identity import IdentityTable
from device_sdk.wire.hardware_module_name import OID as HARDWARE_MODULE_NAME
from device_sdk.wire.hardware_module_name import parse_hardware_module_name
from device_sdk.wire.mac_address import parse_mac

_MAX_SERIAL = 64
_BLANK = "\u115f\u1160\u2800"  # fillers of Hangul, and Braille without a dot: letters and signs that show nothing
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
    if _looks_like_another(serial) or (rules.serial_number is None and not serial.isascii()):
        raise WrongDeviceError(
            f"it calls itself {serial!a}: letters that cannot be seen, or that look like others, would name another device",
            hint="only ASCII is taken without [identity] serial_number; with it, no invisible, combining or compatibility letters",
        )
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


def check_still(before: DeviceFacts, facts: DeviceFacts, profile: Profile, allowed: frozenset[str] | None) -> None:
    """Whether it is a device for the profile yet, and the one it was, in a boot that began as the profile says.

    Raises:
        WrongDeviceError: it is not.
        BootLoaderMissedError: it was started anew.
    """
    check_facts(facts, profile.identity, allowed)
    check_same(before, facts)
    check_boot(facts, profile.talk.uboot_variables)


def _looks_like_another(serial: str) -> bool:
    """Whether it has letters without a look of their own."""
    hidden = any(one in _BLANK or unicodedata.category(one) in ("Cf", "Mn", "Me") for one in serial)
    return hidden or unicodedata.normalize("NFKC", serial) != serial


def _not_ours(serial: str, words: str, hint: str | None) -> WrongDeviceError:
    return WrongDeviceError(f"{serial} {words}", hint=hint, serial_number=serial)


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
    """A certificate names this device, and as its subject's serialNumber no other.

    Raises:
        WrongDeviceError: it names another, or none.
    """
    try:
        others = [one for one in _subject_serials(certificate.subject) if one != serial_number]
        names = _serial_numbers(certificate.subject, _alternatives(certificate.extensions), rules.in_certificate)
    except UNREADABLE as error:
        raise WrongDeviceError("the names in the device's certificate cannot be read") from error
    _require_serial(serial_number, [] if others else names, others or names)


def _require_serial(serial_number: str, names: Sequence[str], shown: Sequence[str]) -> None:
    if serial_number not in names:
        words = ", ".join(ascii(name)[:80] for name in shown[:3]) or "none"
        raise WrongDeviceError(
            f"the device calls itself {serial_number}, and its certificate does not name that (but {words})",
            hint="the profile's [device] config decides what it is named ([identity] in_certificate: where to look)",
        )


def _serial_numbers(subject: x509.Name, alternatives: x509.SubjectAlternativeName | None, where: str) -> list[str]:
    found: list[str] = []
    if where != "common-name":
        found += _subject_serials(subject)
        found += _hardware_serials(alternatives)
    if where != "serial-number":
        found += [str(one.value) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return found


def _subject_serials(subject: x509.Name) -> list[str]:
    return [str(one.value) for one in subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)]


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
