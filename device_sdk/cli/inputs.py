"""From settings to what the library takes: trust, credentials, limits, and what goes into a request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from device_sdk.cli.files import read_file
from device_sdk.cli.pem import certificates_from, name_of
from device_sdk.cli.secrets import (
    one_time_password,
    password,
    pin_provider,
    revocation_password,
    stored_password,
)
from device_sdk.cli.settings import Settings, Source
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from contextlib import ExitStack

    from cryptography import x509

    from device_sdk.identity import IdentitySources
    from device_sdk.model.compatibility import Compatibility
    from device_sdk.model.credentials import Credentials
    from device_sdk.model.csr import CsrSpec, DeviceAttributes, NewName, ValueSource
    from device_sdk.model.trust import Pin, TlsIdentity
    from device_sdk.transports.base import Timeouts

_MAX_TIMEOUT_S = 86400.0
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")

SERVER = ("est.url", "est.label", "est.anchors", "est.pins", "est.implicit", "est.timeout_s", "est.proxy")
TRUST = ("est.anchors", "est.pins", "est.implicit")
COMPATIBILITY = ("est.tls_max", "est.binding", "est.after_202", "est.dialect")
LOGIN = ("est.user", "est.password_file", "est.password_fd")
CHALLENGES = ("est.otp_file", "est.otp_fd", "est.revocation_password_file", "est.revocation_password_fd")
IDENTITY = (
    "identity.subject",
    "identity.san",
    "identity.mac",
    "identity.serial",
    "identity.serial_command",
    "identity.hardware_type",
    "identity.attributes",
)


def anchors(settings: Settings) -> tuple[x509.Certificate, ...]:
    """The Explicit trust anchors of --anchors, or none."""
    path = settings.text("est.anchors")
    return certificates_from(read_file(path), path) if path else ()


def pins(settings: Settings) -> tuple[Pin, ...]:
    """The fingerprints of --pin."""
    from device_sdk.wire.fingerprint import parse_pin

    return tuple(parse_pin(text) for text in settings.list("est.pins"))


def trusted(settings: Settings, *, asking: bool = True) -> tuple[tuple[x509.Certificate, ...], tuple[Pin, ...], bool]:
    """What --anchors, --pin and --implicit say; flags override what the environment and the configuration say of all three.

    Args:
        settings: where it is said.
        asking: whether this command asks a person at a terminal where nothing is said.

    Raises:
        ConfigurationError: nothing, or pins together with the others.
    """
    sources = {name: settings.source(name) for name in TRUST if settings.get(name)}
    heard = {name for name, source in sources.items() if source is max(sources.values())}
    explicit = anchors(settings) if "est.anchors" in heard else ()
    pinned = pins(settings) if "est.pins" in heard else ()
    implicit = "est.implicit" in heard
    if pinned and (explicit or implicit):
        raise ConfigurationError("--pin does not go together with --anchors or --implicit", hint="give one of them")
    if not (pinned or explicit or implicit):
        raise ConfigurationError(
            "say whom to trust",
            hint="give --anchors FILE, --pin sha256:HEX or --implicit, or compare at a terminal"
            if asking
            else "give --anchors FILE or --pin sha256:HEX",
        )
    return explicit, pinned, implicit


def use_configured_anchors(settings: Settings) -> None:
    """Where no setting says whom to trust, go on as if --anchors named those that somebody configured for this device.

    Raises:
        StateError: the state directory is not to be trusted, or cannot be read.
    """
    from device_sdk.state import StateDirectory
    from device_sdk.state.configured import ConfiguredAnchors

    if not any(settings.get(name) for name in TRUST):
        configured = ConfiguredAnchors(StateDirectory(settings.require("state_dir")))
        if configured.load():
            settings.override("est.anchors", str(configured.file))


def credentials(settings: Settings, *, needed: bool = True) -> Credentials | None:
    """User and password for HTTP authentication, or None if no user is named.

    Args:
        settings: where they are named.
        needed: False for a renewal, where the certificate is the credential: nobody is asked at the terminal, and what
            the configuration names may be gone since the enrolment.

    Raises:
        ConfigurationError: a user is named and there is no password, or the reverse on the command line.
    """
    from device_sdk.model.credentials import Credentials

    user = settings.get("est.user")
    flags = [name for name in LOGIN if settings.source(name) is Source.FLAG]
    if user is None:
        if flags:
            raise ConfigurationError("there is a password and no user name", hint="give --user NAME")
        return None
    found = password(settings) if needed or flags else stored_password(settings)
    if found is None and not needed:
        return None
    if found is None:
        raise ConfigurationError(
            f"no password for user {user}",
            hint="give --password-file or --password-fd, set DEVICE_SDK_PASSWORD, or run at a terminal",
        )
    return Credentials(str(user), found)


def tls_identity(certificate: str, key_uri: str, settings: Settings, opened: ExitStack) -> TlsIdentity:
    """A certificate file, with its chain, and the key of its leaf, which stays open as long as `opened`.

    Raises:
        ConfigurationError: the file holds no certificate, or one for another key.
        KeyStoreError: the key cannot be opened.
    """
    from device_sdk.model.trust import TlsIdentity

    chain = certificates_from(read_file(certificate), certificate)
    key = open_key(key_uri, settings, opened)
    require_pair(chain[0], certificate, key)
    return TlsIdentity(chain, key)


def require_pair(leaf: x509.Certificate, file: str, key: Any) -> None:
    """Make sure that a certificate is for a key.

    Args:
        leaf: the certificate.
        file: where it was read.
        key: one that `open_key` gave.

    Raises:
        ConfigurationError: it is for another one.
    """
    if leaf.public_key() != key.public_key():
        raise ConfigurationError(
            f"the certificate in {file} ({name_of(leaf.subject)}) is for another key than {key.info.uri}",
            hint="give a certificate and the key it was issued for; the device's certificate comes first in the file",
        )


def open_key(uri: str, settings: Settings, opened: ExitStack) -> Any:
    """Open a key that is closed together with `opened`; every DeviceKey is also one of cryptography's keys, which no type says."""
    return opened.enter_context(key_opened(uri, settings))


def opening_key(uri: str, settings: Settings, opened: ExitStack) -> Any:
    """The same for what opens packages: a key pair, or a symmetric key in a token or TPM."""
    from device_sdk.keystores import registry

    if not registry.holds_secret(uri):
        return open_key(uri, settings, opened)
    return opened.enter_context(registry.open_secret(uri, pin=pin_provider(settings)))


def key_opened(uri: str, settings: Settings) -> Any:
    """Open a key as the settings allow it; the caller closes it."""
    from device_sdk.keystores import registry

    allow_imported = settings.switch("key.allow_imported")
    return registry.open_key(uri, pin=pin_provider(settings), allow_imported=allow_imported)


def timeouts(settings: Settings) -> Timeouts:
    """Limits of one exchange."""
    from device_sdk.transports.base import Timeouts

    total = settings.number("est.timeout_s")
    if total is None or not 0 < total <= _MAX_TIMEOUT_S:
        raise ConfigurationError(f"est.timeout_s must be greater than 0 and at most {_MAX_TIMEOUT_S}")
    return Timeouts(connect_s=min(10.0, total), read_s=min(30.0, total), total_s=total)


def compatibility(settings: Settings) -> Compatibility:
    """How far to bend towards the server."""
    from device_sdk.model.compatibility import Compatibility

    # The settings' choices are those of the model; a test compares them.
    binding: Any = settings.text("est.binding") or "auto"
    after_202: Any = settings.text("est.after_202") or "rebuild"
    dialect: Any = settings.text("est.dialect") or "rfc7030"
    return Compatibility(binding, settings.text("est.tls_max"), after_202, dialect)


def wait(settings: Settings) -> float:
    """How long to wait for a pending request, in seconds."""
    seconds = settings.number("est.wait_s") or 0.0
    if seconds < 0:
        raise ConfigurationError("est.wait_s cannot be negative")
    return seconds


def require_wait(settings: Settings) -> None:
    """--after-202 is about what is sent again: a command without a journal sends nothing again but within --wait.

    Raises:
        ConfigurationError: it is given for a command that does not wait.
    """
    policy = settings.text("est.after_202")
    if settings.source("est.after_202") is Source.FLAG and policy != "rebuild" and not wait(settings):
        raise ConfigurationError(
            f"--after-202 {policy} means nothing here without --wait: this command keeps nothing for its next run",
            hint="give --wait SECONDS, or enrol with a state directory (device-sdk enroll)",
        )


def threshold(settings: Settings) -> float:
    """The share of a certificate's lifetime after which to renew."""
    share = settings.number("renewal.threshold")
    if share is None or not 0 < share <= 1:
        raise ConfigurationError("renewal.threshold must be greater than 0 and at most 1")
    return share


def mac_address(settings: Settings) -> str | None:
    """The MAC address --mac stands for, or None; reads the machine only for "auto" and interfaces."""
    from device_sdk.identity import resolve_mac

    text = settings.text("identity.mac")
    return None if text is None else resolve_mac(text)


def device_attributes(settings: Settings) -> DeviceAttributes:
    """What is known about this device; reads from the machine only what a setting asks for."""
    from device_sdk.identity import collect

    return collect(identity_sources(settings))


def identity_sources(settings: Settings) -> IdentitySources:
    """Where the settings say that the attributes of this device come from; nothing is read."""
    from device_sdk.identity import IdentitySources

    return IdentitySources(
        mac=settings.text("identity.mac"),
        serial=settings.text("identity.serial"),
        serial_command=settings.list("identity.serial_command"),
        hardware_type=settings.text("identity.hardware_type"),
    )


def csr_spec(settings: Settings, *, nameless: bool = False) -> CsrSpec:
    """What goes into the request.

    Args:
        settings: what was asked for.
        nameless: leave it to the server to name the device if nothing here does (EST-141).

    Raises:
        ConfigurationError: there is nothing to name the device by.
    """
    from cryptography import x509

    from device_sdk.model.csr import CsrSpec
    from device_sdk.wire.names import parse_dn, parse_san

    subject = settings.text("identity.subject")
    san = tuple(parse_san(text) for text in settings.list("identity.san"))
    device = device_attributes(settings)
    named = subject is not None or san or device.serial_number is not None or device.hardware_type is not None
    if not named and not nameless:
        raise ConfigurationError(
            "nothing to name the device by", hint='give --subject "CN=...", --san TYPE:VALUE or --serial SOURCE'
        )
    name = parse_dn(subject) if subject else x509.Name([])
    return CsrSpec(name, san=san, device=device, values=values(settings))


def with_challenges(spec: CsrSpec, settings: Settings) -> CsrSpec:
    """The same with the passwords of RFC 7894, which are sent only if the server lists them.

    Raises:
        ConfigurationError: a file or descriptor that is named cannot be read.
    """
    from dataclasses import replace

    return replace(spec, otp_challenge=one_time_password(settings), revocation_challenge=revocation_password(settings))


def new_name(settings: Settings, certificate: x509.Certificate) -> NewName:
    """What --subject and --san say; what they do not say stays as it is in the certificate (RFC 6402 section 2.8).

    Raises:
        ConfigurationError: they say nothing.
    """
    from device_sdk.model.csr import NewName
    from device_sdk.wire.names import parse_dn, parse_san

    subject, san = settings.text("identity.subject"), settings.list("identity.san")
    if subject is None and not san:
        raise ConfigurationError("--change-name needs the new name", hint="give --subject, --san or both")
    return NewName(
        parse_dn(subject) if subject else certificate.subject,
        tuple(parse_san(text) for text in san) or names_of(certificate),
    )


def require_same_names(settings: Settings, certificate: x509.Certificate) -> None:
    """What a flag says of subject and names must be what the certificate says already.

    Raises:
        ConfigurationError: it is not; a renewal keeps them.
    """
    from device_sdk.wire.names import parse_dn, parse_san

    subject = settings.text("identity.subject")
    if settings.source("identity.subject") is Source.FLAG and subject and parse_dn(subject) != certificate.subject:
        raise ConfigurationError(
            f"a renewal keeps the subject {name_of(certificate.subject)}; it cannot become {subject}",
            hint="leave --subject out, or ask the server for another name (--change-name)",
        )
    given = {parse_san(text) for text in settings.list("identity.san")}
    if settings.source("identity.san") is Source.FLAG and given != set(names_of(certificate)):
        raise ConfigurationError(
            "a renewal keeps the certificate's subject alternative names",
            hint="leave --san out, or ask the server for other names (--change-name)",
        )


def names_of(certificate: x509.Certificate) -> tuple[x509.GeneralName, ...]:
    """The subject alternative names, in order; none if there is no such extension."""
    from cryptography import x509

    try:
        return tuple(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()


def values(settings: Settings) -> ValueSource | None:
    """What --attribute says, as the source of values for what a server asks for; None if it says nothing.

    Raises:
        ConfigurationError: not OID=VALUE, or an OID twice.
    """
    given: dict[str, bytes | str] = {}
    for text in settings.list("identity.attributes"):
        oid, separator, value = text.partition("=")
        if not separator or not _OID.fullmatch(oid) or not value:
            raise ConfigurationError(
                f"--attribute {text!r} is not OID=VALUE", hint="for example 2.5.4.5=4711 or 2.5.29.37=der:300a..."
            )
        _require_public(oid)
        if oid in given:
            raise ConfigurationError(f"--attribute {oid} is given twice")
        given[oid] = _from_hex(oid, value) if value.startswith("der:") else value
    return (lambda asked: given.get(asked.oid)) if given else None


def _require_public(oid: str) -> None:
    """Everybody on the machine can read arguments, and settings are shown: neither is the place for a password."""
    from device_sdk.wire import csrattrs_oids as oids

    options = {
        oids.OTP_CHALLENGE: "--otp-file or --otp-fd",
        oids.REVOCATION_CHALLENGE: "--revocation-password-file or -fd",
    }
    if oid in oids.CHALLENGES:
        raise ConfigurationError(
            f"--attribute {oid} is a password; in an argument every user of this machine could read it; it was not used",
            hint=f"give {options[oid]}" if oid in options else "the SDK makes this value itself",
        )


def _from_hex(oid: str, value: str) -> bytes:
    try:
        return bytes.fromhex(value.removeprefix("der:"))
    except ValueError as error:
        raise ConfigurationError(f"--attribute {oid}: what follows der: is not hexadecimal") from error
