"""Writing the configuration file and the anchors that a station brings."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509

from device_sdk.client.device.bench.bench import LOCK_WAIT_S
from device_sdk.client.device.bench.configuration import Configuration
from device_sdk.errors import ConfigurationError
from device_sdk.state import StateDirectory, files
from device_sdk.state.configured import ConfiguredAnchors
from device_sdk.wire.key_uri import parse_key_uri

MAX_CONFIG_BYTES = 64 * 1024
MAX_ANCHORS_BYTES = 256 * 1024
_MAX_ANCHORS = 200
_TRUST = ("est.anchors", "est.pins", "est.implicit")
_PROGRAMS = ("identity.serial_command", "firmware.installer", "agent.commands")
# what a server sends is written there
_PLACES = ("firmware.out", "firmware.directory", "generated.out", "keys.to")
_IN_HARDWARE = ("pkcs11:", "tpm2:")
_DESCRIPTORS = "_fd"
_SECRETS = ("pin_file", "password_file", "secret_file", "otp_file", "passphrase_file", "bearer_file")


def configure(configuration: Configuration, config: bytes, anchors: bytes, *, programs: bool) -> None:
    """Check both, then write the anchors, then the configuration; see DeviceBench.configure."""
    _require_size(config, MAX_CONFIG_BYTES, "the configuration")
    _require_size(anchors, MAX_ANCHORS_BYTES, "the file of trust anchors")
    said = configuration.check(config)
    _require_harmless(said, programs=programs)
    key = said.get("key.uri")
    if key and parse_key_uri(str(key)).pin_value is not None and not programs:
        raise ConfigurationError(
            "key.uri has a PIN, and others may have read it on the line",
            hint="name the file that holds it (pin-source), or have the device's owner name it in config.d (key.pin_file)",
        )
    certificates = _certificates(anchors) if anchors else ()
    named = [name for name in _TRUST if said.get(name)]
    if certificates and named:
        raise ConfigurationError(
            f"the configuration says whom to trust ({', '.join(named)}), and trust anchors come with it",
            hint="leave that setting out: the anchors are kept in the state directory",
        )
    file = configuration.file
    files.refuse_strangers(file.parent)
    if certificates:
        state = StateDirectory(configuration.state_dir(said))
        with state.exclusive(LOCK_WAIT_S):
            ConfiguredAnchors(state).save(certificates)
    with files.writing(file):
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    # a PIN may be in a key's URI, a password in a proxy's, in what a power cut left of an earlier one, too
    for leftover in files.temporary_files(file.parent):
        if leftover.name.startswith(f".{file.name}."):
            files.remove(leftover)
    files.write(file, config, files.PRIVATE)


def _certificates(anchors: bytes) -> tuple[x509.Certificate, ...]:
    try:
        found = tuple(x509.load_pem_x509_certificates(anchors))
    except ValueError as error:
        raise ConfigurationError(
            f"the trust anchors cannot be read: {error}", hint="PEM, one certificate after the other"
        ) from error
    if len(found) > _MAX_ANCHORS:
        raise ConfigurationError(f"there are more than {_MAX_ANCHORS} trust anchors")
    return found


def _require_harmless(said: Mapping[str, object], *, programs: bool) -> None:
    """No secret that everybody can read; and nothing that is the device's owner's to say, unless he lets stations say it."""
    if not programs:
        _require_strangers(said)
    for name, value in said.items():
        if name.endswith(_SECRETS) and isinstance(value, str) and value:
            _require_private(name, Path(value))


def _require_strangers(said: Mapping[str, object]) -> None:
    """Nothing by which whoever is on the line would run programs, read files or write to them.

    He may name his own server, and would be sent the content of any file that is a password.
    """
    named = {name: value for name, value in said.items() if value not in (None, "", [])}
    for what, found in (
        ("a program", [name for name in named if name in _PROGRAMS]),
        ("a file with a secret", [name for name in named if name.endswith((*_SECRETS, _DESCRIPTORS))]),
        ("a place to write to", [n for n in named if n in _PLACES and not str(named[n]).startswith(_IN_HARDWARE)]),
    ):
        if found:
            raise ConfigurationError(
                f"the configuration names {what} ({', '.join(found)}), and this device takes none from a station",
                hint="who owns the device names it: in a file of config.d, beside the configuration file",
            )

    for name, value in named.items():
        if isinstance(value, str) and _is_odd(value):
            raise ConfigurationError(
                f"{name}: {value} is neither a file nor a directory", hint="reading it could take for ever"
            )


def _is_odd(text: str) -> bool:
    """Whether a setting names a pipe, a socket or a device of the kernel's, the line's own terminal perhaps."""
    try:
        mode = Path(text.removeprefix("file:").partition("?")[0]).stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _require_private(name: str, file: Path) -> None:
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError):
        return  # who uses it will say so
    if stat.S_ISREG(mode) and mode & 0o077:
        raise ConfigurationError(
            f"{name}: {file} holds a secret, and others than its owner can read it", hint=f"chmod 600 {file}"
        )


def _require_size(data: bytes, limit: int, what: str) -> None:
    if len(data) > limit:
        raise ConfigurationError(f"{what} is larger than {limit} bytes", hint="is it the file that was meant?")
