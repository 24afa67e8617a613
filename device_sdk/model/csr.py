"""What goes into a certificate request: the caller's wishes and what is known about the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from cryptography import x509

from device_sdk.model.secret import Secret

MacPlacement: TypeAlias = Literal["extension", "attribute"]
"""Where the MAC address goes: "extension" is subjectDirectoryAttributes inside extensionRequest (RFC 9908 section 5.2),
"attribute" a PKCS#10 attribute of its own, which older servers look for (EST-177)."""


Place: TypeAlias = Literal["subject", "alternative-name", "extension", "attribute"]
"""Where in a request a value goes that the server asks for."""


@dataclass(frozen=True)
class Asked:
    """Something the server wants in the request and nobody has given yet (EST-177, EST-182, EST-183).

    Attributes:
        place: "subject": an attribute of the subject; "alternative-name": one GeneralName; "extension": the value of an
            extension; "attribute": a PKCS#10 attribute.
        oid: its type, dotted; that of subjectAltName for an alternative name.
        values: what the server said about it, DER of each value.
        critical: for an extension.
    """

    place: Place
    oid: str
    values: tuple[bytes, ...] = ()
    critical: bool = False


ValueSource: TypeAlias = Callable[[Asked], bytes | str | None]
"""Gives values the SDK does not know: DER of one value; or text, which becomes a string of the type that fits; or None.

Text for an alternative name is an IP address, or a distinguished name, whichever is asked for; for an extension there is
no text. What the source does not want to tell it answers with None, and the request does without (EST-185).
"""


@dataclass(frozen=True)
class NewName:
    """What the next certificate is to be called (ChangeSubjectName of RFC 6402 section 2.8, EST-137, EST-153).

    Attributes:
        subject: the new subject; None for an empty one.
        san: the new subject alternative names, all of them; empty for none.
    """

    subject: x509.Name | None = None
    san: tuple[x509.GeneralName, ...] = ()


@dataclass(frozen=True)
class DeviceAttributes:
    """Facts about one device. Everything that is set goes into the CSR; nothing is read from the machine here.

    Attributes:
        mac_address: "00:00:92:90:ee:e2"; goes where CsrSpec.mac_placement says.
        serial_number: subject attribute serialNumber (EST-32), unless the subject has one already; printable, at most 64.
        hardware_type: OID of the kind of hardware, dotted; together with `hardware_serial` it makes a
            hardwareModuleName in the SAN (RFC 4108 section 5, EST-33).
        hardware_serial: hwSerialNum, the bytes themselves.
        dns_names: dNSName entries for the SAN.
        uris: uniformResourceIdentifier entries for the SAN.
    """

    mac_address: str | None = None
    serial_number: str | None = None
    hardware_type: str | None = None
    hardware_serial: bytes | None = None
    dns_names: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


@dataclass(frozen=True)
class CsrSpec:
    """What the caller wants certified; device_sdk.wire.csr.build_csr makes the PKCS#10 request of it.

    Attributes:
        subject: the subject name; x509.Name([]) for none (EST-141).
        san: subject alternative names, in order; those of `device` come after them.
        device: facts about the device.
        mac_placement: where the MAC address goes.
        extensions: further extensions to ask for (KeyUsage, ExtendedKeyUsage, ...); not a SAN.
        attributes: further PKCS#10 attributes, as (dotted OID, DER of one value).
        otp_challenge: one-time password, sent only when the server lists otpChallenge (RFC 7894, EST-105).
        revocation_challenge: revocation password, sent only when the server lists revocationChallenge.
        values: asked for what the server wants and nothing here has a value for.
        new_name: asks for a certificate of another name than `subject` and `san`, which stay those of the certificate
            that authenticates the request.
    """

    subject: x509.Name
    san: tuple[x509.GeneralName, ...] = ()
    device: DeviceAttributes = DeviceAttributes()
    mac_placement: MacPlacement = "extension"
    extensions: tuple[x509.Extension[x509.ExtensionType], ...] = ()
    attributes: tuple[tuple[str, bytes], ...] = ()
    otp_challenge: Secret | None = field(default=None, repr=False)
    revocation_challenge: Secret | None = field(default=None, repr=False)
    values: ValueSource | None = field(default=None, repr=False, compare=False)
    new_name: NewName | None = None
