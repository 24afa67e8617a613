"""What a registration authority checks in a request before it vouches for it (RFC 7030 sections 3.5 and 3.7).

A server believes such a station what it cannot see itself: that the request is from this device. So the station has to look at
everything the request says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from device_sdk.errors import DeviceRequestError, WireError, WrongDeviceError
from device_sdk.model.keys import KeyType
from device_sdk.wire import csrattrs_oids as oids
from device_sdk.wire import der
from device_sdk.wire.ber import children, contents_of
from device_sdk.wire.hardware_module_name import OID as HARDWARE_MODULE_NAME
from device_sdk.wire.hardware_module_name import parse_hardware_module_name
from device_sdk.wire.names import shown_name

MAX_CSR_BYTES = 16 * 1024
IN_CERTIFICATE = ("serial-number", "common-name", "any")

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_USAGES = (
    ExtendedKeyUsageOID.CLIENT_AUTH,
    ExtendedKeyUsageOID.SERVER_AUTH,
    ExtendedKeyUsageOID.EMAIL_PROTECTION,
    ExtendedKeyUsageOID.IPSEC_IKE,
)
_ATTRIBUTES = (oids.EXTENSION_REQUEST, oids.MAC_ADDRESS)


@dataclass(frozen=True)
class RelayedIdentity:
    """What a request may say: of whom the station believes it to be.

    Attributes:
        serial_number: of the device's facts; has to be in the request.
        public_key: DER SubjectPublicKeyInfo of the key that the device made and described.
        macs: of the facts.
        key_types: which are taken.
        in_certificate: where the serial number has to be: "serial-number" (subject's serialNumber, or hardwareModuleName),
            "common-name", or "any" of them.
        subject: what the device was configured to be called; its serial number may be added to it. None for a subject of
            nothing but the serial number, as serialNumber and as common name.
        alternative_names: further names it was configured to ask for.
        hardware_type: OID of the kind of hardware that it is: a hardwareModuleName with it and the serial number is its own. None
            for none: a serial number names no device without it (RFC 4108 section 5).
        also: OIDs of attributes and extensions that the server asked for: their values are its to judge. Names, passwords
            and rights of a CA are not taken that way.
        usages: OIDs of the extended key usages that the server asked for; clientAuth is every device's.
    """

    serial_number: str
    public_key: bytes
    macs: tuple[str, ...] = ()
    key_types: tuple[KeyType, ...] = tuple(KeyType)
    in_certificate: str = "any"
    subject: x509.Name | None = None
    alternative_names: tuple[x509.GeneralName, ...] = ()
    hardware_type: str | None = None
    also: Collection[str] = ()
    usages: Collection[str] = ()


def check_relayed(request: bytes, identity: RelayedIdentity) -> x509.CertificateSigningRequest:
    """The request, if it is signed by the key it is about, that is the device's key, and it asks for nothing but the device's own.

    Args:
        request: DER of a PKCS#10 request, from the device.
        identity: what it may say.

    Raises:
        WrongDeviceError: another key, or another device's serial number or MAC address.
        DeviceRequestError: it cannot be read, is not signed by its key, or asks for what this device may not have.
    """
    csr = _read(request)
    check_content(csr, identity)
    return csr


def check_content(csr: x509.CertificateSigningRequest, identity: RelayedIdentity) -> None:
    """What a request says, whoever signed it; raises as `check_relayed`."""
    _check_key(csr, identity)
    found = [*_check_subject(csr.subject, identity), *_check_extensions(csr.extensions, identity)]
    wanted = {"serial-number", "common-name"} if identity.in_certificate == "any" else {identity.in_certificate}
    if not wanted & set(found):
        raise WrongDeviceError(
            f"the request of {identity.serial_number} does not have its serial number in it, where it is wanted "
            f"({identity.in_certificate})",
            hint="have the device's configuration say it (identity.serial, identity.subject)",
            serial_number=identity.serial_number,
        )
    _check_attributes(csr, identity)


def _read(request: bytes) -> x509.CertificateSigningRequest:
    if len(request) > MAX_CSR_BYTES:
        raise DeviceRequestError(f"a certificate request of {len(request)} bytes; at most {MAX_CSR_BYTES} are taken")
    try:
        csr = x509.load_der_x509_csr(request)
        _ = csr.subject, csr.extensions, list(csr.attributes), csr.public_key()
        sound = csr.is_signature_valid and isinstance(csr.signature_hash_algorithm, _HASHES)
    except _UNREADABLE as error:
        raise DeviceRequestError(f"the device's certificate request cannot be read: {type(error).__name__}") from error
    if not sound:
        raise DeviceRequestError(
            "the certificate request is not signed by its own key, with SHA-256, SHA-384 or SHA-512",
            hint="it was changed on its way, or the device is broken: ask for it again",
        )
    return csr


def _check_key(csr: x509.CertificateSigningRequest, identity: RelayedIdentity) -> None:
    public = csr.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise DeviceRequestError("the request is for a key that is neither RSA nor on an elliptic curve for signatures")
    try:
        kind = KeyType.of(public)
    except ValueError as error:
        raise DeviceRequestError(f"the request is for a key that is not taken: {error}") from error
    if kind not in identity.key_types:
        names = ", ".join(one.value for one in identity.key_types)
        raise DeviceRequestError(f"the request is for a key of type {kind.value}; taken are {names}")
    if public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != identity.public_key:
        raise WrongDeviceError(
            f"the request of {identity.serial_number} is for another key than the one that the device made",
            hint="is it the request of another device on another line? Begin with this device anew",
            serial_number=identity.serial_number,
        )


def _check_subject(subject: x509.Name, identity: RelayedIdentity) -> Iterator[str]:
    """Every part of the subject; gives where the serial number is."""
    configured = set(identity.subject or ())
    for part in subject:
        names_it = _names_device(part, identity)
        if names_it:
            yield names_it
        elif part not in configured and (
            part.oid in (NameOID.COMMON_NAME, NameOID.SERIAL_NUMBER) or part.oid.dotted_string not in identity.also
        ):
            raise _not_its_own(identity, f"the subject {shown_name(x509.Name([part]))}")


def _names_device(part: x509.NameAttribute[str | bytes], identity: RelayedIdentity) -> str | None:
    serial = identity.serial_number
    if part.oid == NameOID.SERIAL_NUMBER:
        if part.value != serial:
            raise WrongDeviceError(
                f"the device says that it is {serial}, and its request has the serial number {part.value!r:.80}",
                hint="nothing was sent: look which device is on this line, and at its configuration",
                serial_number=serial,
            )
        return "serial-number"
    configured = identity.subject is None or part in identity.subject
    if part.oid == NameOID.COMMON_NAME and configured and part.value == serial:
        return "common-name"
    return None


def _check_extensions(extensions: x509.Extensions, identity: RelayedIdentity) -> Iterator[str]:
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            yield from _check_names(value, identity)
        elif isinstance(value, x509.BasicConstraints):
            if value.ca:
                raise _not_its_own(identity, "the rights of a CA")
        elif isinstance(value, x509.KeyUsage):
            if value.key_cert_sign or value.crl_sign:
                raise _not_its_own(identity, "a key usage of a CA")
        elif isinstance(value, x509.ExtendedKeyUsage):
            _check_usages(value, identity)
        elif extension.oid.dotted_string == oids.SUBJECT_DIRECTORY_ATTRIBUTES:
            _check_directory(value.public_bytes(), identity)
        elif extension.oid.dotted_string not in identity.also and not isinstance(value, x509.SubjectKeyIdentifier):
            raise _not_its_own(identity, f"the extension {extension.oid.dotted_string}")


def _check_directory(value: bytes, identity: RelayedIdentity) -> None:
    """One of the device's MAC addresses; beside it what the server asked for."""
    own = [der.attribute(oids.MAC_ADDRESS, der.ia5_string(mac)) for mac in identity.macs]
    try:
        found = [(element, contents) for _, element, contents in children(contents_of(value))]
    except WireError as error:
        raise DeviceRequestError(f"attributes of the request's subject cannot be read: {error.message}") from error
    for element, contents in found:
        if contents.startswith(der.oid(oids.MAC_ADDRESS)):
            if element not in own:
                raise _foreign_mac(identity, contents[-17:].decode("ascii", errors="replace"))
        elif oids.SUBJECT_DIRECTORY_ATTRIBUTES not in identity.also:
            raise _not_its_own(identity, "further attributes of its subject")


def _foreign_mac(identity: RelayedIdentity, mac: str) -> WrongDeviceError:
    return WrongDeviceError(
        f"the request of {identity.serial_number} has the MAC address {mac!r:.40}, which is none of the device's",
        serial_number=identity.serial_number,
    )


def _check_usages(value: x509.ExtendedKeyUsage, identity: RelayedIdentity) -> None:
    """What the server wants of devices, and no more than they need: id-kp-cmcRA would make one a registration authority."""
    wanted = {ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string, *identity.usages}
    for usage in value:
        if usage not in _USAGES or usage.dotted_string not in wanted:
            raise _not_its_own(identity, f"the extended key usage {usage.dotted_string}")


def _check_names(names: x509.SubjectAlternativeName, identity: RelayedIdentity) -> Iterator[str]:
    for name in names:
        if isinstance(name, x509.OtherName) and name.type_id == HARDWARE_MODULE_NAME:
            try:
                kind, serial = parse_hardware_module_name(name)
            except WireError as error:
                raise DeviceRequestError(f"the request's hardwareModuleName cannot be read: {error.message}") from error
            if serial == identity.serial_number.encode() and (
                kind == identity.hardware_type or name in identity.alternative_names
            ):
                yield "serial-number"
                continue
        if name not in identity.alternative_names:
            raise _not_its_own(identity, f"the name {_shown(name)}")


def _check_attributes(csr: x509.CertificateSigningRequest, identity: RelayedIdentity) -> None:
    """No binding to a connection that nobody here saw, no password, no other name, no MAC address of another device."""
    for attribute in csr.attributes:
        oid = attribute.oid.dotted_string
        if oid in oids.CHALLENGES:
            raise DeviceRequestError(
                f"the request of {identity.serial_number} has a challenge ({oid}): it is bound to a connection that is not "
                "the station's, or holds a password",
                hint="have the device make it by `device-sdk bench request`",
                serial_number=identity.serial_number,
            )
        if oid == oids.MAC_ADDRESS:
            mac = attribute.value.decode("ascii", errors="replace").lower()
            if mac not in identity.macs:
                raise _foreign_mac(identity, mac)
        elif oid not in _ATTRIBUTES and oid not in identity.also:
            raise _not_its_own(identity, f"the attribute {oid}")


def _not_its_own(identity: RelayedIdentity, what: str) -> DeviceRequestError:
    return DeviceRequestError(
        f"the request of {identity.serial_number} asks for {what}, which nobody said it may have",
        hint="nothing was sent; if it is right, the profile or the device's configuration has to say so",
        serial_number=identity.serial_number,
    )


def _shown(name: x509.GeneralName) -> str:
    value = name.value if not isinstance(name, x509.OtherName) else name.type_id.dotted_string
    return f"{type(name).__name__} {value!r:.80}"
