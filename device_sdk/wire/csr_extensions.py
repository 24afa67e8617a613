"""The extensionRequest of a CSR: what the caller gave, merged with what the server asked for."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509

from device_sdk.errors import ConfigurationError
from device_sdk.model.csr import Asked, CsrSpec
from device_sdk.wire import der
from device_sdk.wire.ber import children, contents_of
from device_sdk.wire.csr_values import ask, general_name_of, value_of
from device_sdk.wire.csrattrs_asn1 import WantedExtension
from device_sdk.wire.csrattrs_key import clash
from device_sdk.wire.csrattrs_oids import MAC_ADDRESS, SUBJECT_ALT_NAME, SUBJECT_DIRECTORY_ATTRIBUTES
from device_sdk.wire.hardware_module_name import hardware_module_name
from device_sdk.wire.mac_address import parse_mac
from device_sdk.wire.names import dns_name, uri_name

# Tags of GeneralName's choices (RFC 5280 section 4.2.1.6).
_DIRECTORY_NAME, _IP_ADDRESS = 0xA4, 0x87


def alternative_names(spec: CsrSpec) -> tuple[x509.GeneralName, ...]:
    """All names for the SAN: the caller's, then the device's DNS names, URIs and hardwareModuleName; each once.

    Raises:
        ConfigurationError: a name that is not one, or a hardware type without a serial number or the other way round.
    """
    device = spec.device
    names: list[x509.GeneralName] = [*spec.san, *map(dns_name, device.dns_names), *map(uri_name, device.uris)]
    if (device.hardware_type is None) != (device.hardware_serial is None):
        raise ConfigurationError("a hardwareModuleName needs both the hardware type and the hardware serial number")
    if device.hardware_type is not None and device.hardware_serial is not None:
        names.append(hardware_module_name(device.hardware_type, device.hardware_serial))
    return tuple(dict.fromkeys(names))


def request_extensions(spec: CsrSpec, wanted: Iterable[WantedExtension], *, subject_empty: bool) -> list[bytes]:
    """DER of every Extension for the request.

    A value the server gives is used as it is; one it leaves open is the caller's, or what the caller's ValueSource has, and
    the extension is left out if there is none (RFC 9908 section 3.4, EST-176, EST-183, EST-185). The SAN is critical if the
    subject is empty (RFC 5280 section 4.2.1.6).

    Args:
        spec: the caller's wishes.
        wanted: the server's.
        subject_empty: whether the request has no subject.

    Raises:
        ConfigurationError: see alternative_names; or an extension given twice.
        CsrAttributesError: the server fixes a value, and the caller gave another one (EST-178).
        WireError: a SAN or subjectDirectoryAttributes of the server that cannot be read.
    """
    names = alternative_names(spec)
    own = _own_extensions(spec, names)
    merged: dict[str, tuple[bytes, bool]] = {}
    for extension in wanted:
        value = _merge(extension, own.pop(extension.oid, None), names, spec)
        if value is not None:
            merged[extension.oid] = (value, extension.critical)
    merged.update(own)
    if subject_empty and SUBJECT_ALT_NAME in merged:
        merged[SUBJECT_ALT_NAME] = (merged[SUBJECT_ALT_NAME][0], True)
    return [der.extension(oid, value, critical=critical) for oid, (value, critical) in merged.items()]


def _own_extensions(spec: CsrSpec, names: tuple[x509.GeneralName, ...]) -> dict[str, tuple[bytes, bool]]:
    own: dict[str, tuple[bytes, bool]] = {}
    for extension in spec.extensions:
        oid = extension.oid.dotted_string
        if oid in own or oid in {SUBJECT_ALT_NAME, SUBJECT_DIRECTORY_ATTRIBUTES}:
            raise ConfigurationError(f"extension {oid} is given twice, or has a field of its own in the request")
        own[oid] = (extension.value.public_bytes(), extension.critical)
    if names:
        own[SUBJECT_ALT_NAME] = (x509.SubjectAlternativeName(names).public_bytes(), False)
    if spec.device.mac_address is not None and spec.mac_placement == "extension":
        mac = der.attribute(MAC_ADDRESS, der.ia5_string(parse_mac(spec.device.mac_address)))
        own[SUBJECT_DIRECTORY_ATTRIBUTES] = (der.sequence(mac), False)
    return own


def _merge(
    wanted: WantedExtension, own: tuple[bytes, bool] | None, names: tuple[x509.GeneralName, ...], spec: CsrSpec
) -> bytes | None:
    """The value for one extension the server asks for; None if there is none."""
    if wanted.value is None:
        return own[0] if own else _asked(wanted, spec)
    if wanted.oid == SUBJECT_ALT_NAME:
        return _fill_alternative_names(wanted.value, names, spec)
    if wanted.oid == SUBJECT_DIRECTORY_ATTRIBUTES:
        return _join_directory_attributes(wanted.value, own[0] if own else None)
    if own is not None and own[0] != wanted.value:
        raise clash(f"extension {wanted.oid}", wanted.value.hex(), own[0].hex())
    return wanted.value


def _asked(wanted: WantedExtension, spec: CsrSpec) -> bytes | None:
    asked = Asked("extension", wanted.oid, critical=wanted.critical)
    value = ask(spec, asked)
    return None if value is None else value_of(asked, value)


def _fill_alternative_names(value: bytes, names: tuple[x509.GeneralName, ...], spec: CsrSpec) -> bytes | None:
    """The server's SAN with its empty iPAddress and directoryName filled from the caller's names (EST-183)."""
    filled: list[bytes] = []
    used: set[x509.GeneralName] = set()
    for tag, element, contents in children(contents_of(value)):
        kind = _placeholder(tag, contents)
        if kind is None:
            filled.append(element)
            continue
        fitting = [name for name in names if isinstance(name, kind) and name not in used]
        used.update(fitting)
        filled.extend(_encode_name(name) for name in fitting)
        if not fitting:
            filled.extend(_asked_name(element, spec))
    for name in names:
        if name not in used and _encode_name(name) not in filled:
            raise clash("the subject alternative names", _shown_names(value), str(name))
    return der.sequence(*filled) if filled else None


def _shown_names(value: bytes) -> str:
    """A SAN for people: the text of e-mail, DNS and URI names, the octets of others."""
    kinds = {0x81: "email", 0x82: "DNS", 0x86: "URI"}
    return ", ".join(
        f"{kinds[tag]}:{contents.decode('ascii', 'backslashreplace')}" if tag in kinds else element.hex()
        for tag, element, contents in children(contents_of(value))
    )


def _asked_name(placeholder: bytes, spec: CsrSpec) -> Iterable[bytes]:
    asked = Asked("alternative-name", SUBJECT_ALT_NAME, (placeholder,))
    value = ask(spec, asked)
    if value is not None:
        yield general_name_of(asked, value)


def _placeholder(tag: int, contents: bytes) -> type[x509.IPAddress | x509.DirectoryName] | None:
    if tag == _IP_ADDRESS and not contents:
        return x509.IPAddress
    if tag == _DIRECTORY_NAME and contents in {b"", b"\x30\x00"}:
        return x509.DirectoryName
    return None


def _encode_name(name: x509.GeneralName) -> bytes:
    """One GeneralName, out of a SAN that holds nothing else."""
    return contents_of(x509.SubjectAlternativeName([name]).public_bytes())


def _join_directory_attributes(value: bytes, own: bytes | None) -> bytes | None:
    """The server's attributes without a macAddress of its own, then ours: its value is for us to give."""
    mac_type = der.oid(MAC_ADDRESS)
    kept = [element for _, element, contents in children(contents_of(value)) if not contents.startswith(mac_type)]
    kept.extend(element for _, element, _ in children(contents_of(own or der.sequence())))
    return der.sequence(*kept) if kept else None
