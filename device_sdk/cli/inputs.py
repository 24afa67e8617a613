"""From settings to what the library takes: trust, credentials, limits, and what goes into a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_sdk.cli.output import read_file
from device_sdk.cli.pem import certificates_from
from device_sdk.cli.secrets import password
from device_sdk.cli.settings import Settings
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509

    from device_sdk.model.credentials import Credentials
    from device_sdk.model.csr import CsrSpec, DeviceAttributes
    from device_sdk.model.trust import Pin
    from device_sdk.transports.base import Timeouts

SERVER = ("est.url", "est.label", "est.anchors", "est.pins", "est.implicit", "est.timeout_s", "est.proxy")
LOGIN = ("est.user", "est.password_file", "est.password_fd")
IDENTITY = (
    "identity.subject",
    "identity.san",
    "identity.mac",
    "identity.serial",
    "identity.serial_command",
    "identity.hardware_type",
)


def anchors(settings: Settings) -> tuple[x509.Certificate, ...]:
    """The Explicit trust anchors of --anchors, or none."""
    path = settings.text("est.anchors")
    return certificates_from(read_file(path), path) if path else ()


def pins(settings: Settings) -> tuple[Pin, ...]:
    """The fingerprints of --pin."""
    from device_sdk.wire.fingerprint import parse_pin

    return tuple(parse_pin(text) for text in settings.list("est.pins"))


def credentials(settings: Settings) -> Credentials | None:
    """User and password for HTTP authentication, or None if no user is named.

    Raises:
        ConfigurationError: a user is named and there is no password.
    """
    from device_sdk.model.credentials import Credentials

    user = settings.get("est.user")
    if user is None:
        return None
    found = password(settings)
    if found is None:
        raise ConfigurationError(
            f"no password for user {user}",
            hint="give --password-file or --password-fd, set DEVICE_SDK_PASSWORD, or run at a terminal",
        )
    return Credentials(str(user), found)


def timeouts(settings: Settings) -> Timeouts:
    """Limits of one exchange."""
    from device_sdk.transports.base import Timeouts

    total = settings.number("est.timeout_s") or 120.0
    if total <= 0:
        raise ConfigurationError("est.timeout_s must be greater than 0")
    return Timeouts(connect_s=min(10.0, total), read_s=min(30.0, total), total_s=total)


def device_attributes(settings: Settings) -> DeviceAttributes:
    """What is known about this device; reads from the machine only what a setting asks for."""
    from device_sdk.identity import IdentitySources, collect

    return collect(
        IdentitySources(
            mac=settings.text("identity.mac"),
            serial=settings.text("identity.serial"),
            serial_command=settings.list("identity.serial_command"),
            hardware_type=settings.text("identity.hardware_type"),
        )
    )


def csr_spec(settings: Settings) -> CsrSpec:
    """What goes into the request.

    Raises:
        ConfigurationError: there is nothing to name the device by.
    """
    from cryptography import x509

    from device_sdk.model.csr import CsrSpec
    from device_sdk.wire.names import parse_dn, parse_san

    subject = settings.text("identity.subject")
    san = tuple(parse_san(text) for text in settings.list("identity.san"))
    device = device_attributes(settings)
    if subject is None and not san and device.serial_number is None and device.hardware_type is None:
        raise ConfigurationError(
            "nothing to name the device by", hint='give --subject "CN=...", --san TYPE:VALUE or --serial SOURCE'
        )
    return CsrSpec(parse_dn(subject) if subject else x509.Name([]), san=san, device=device)
