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

MAX_CONFIG_BYTES = 64 * 1024
MAX_ANCHORS_BYTES = 256 * 1024
_MAX_ANCHORS = 200
_TRUST = ("est.anchors", "est.pins", "est.implicit")
_PROGRAMS = ("identity.serial_command", "firmware.installer", "agent.commands")
_SECRETS = ("pin_file", "password_file", "secret_file", "otp_file", "passphrase_file", "bearer_file")


def configure(configuration: Configuration, config: bytes, anchors: bytes, *, programs: bool) -> None:
    """Check both, then write the anchors, then the configuration; see DeviceBench.configure."""
    _require_size(config, MAX_CONFIG_BYTES, "the configuration")
    _require_size(anchors, MAX_ANCHORS_BYTES, "the file of trust anchors")
    said = configuration.check(config)
    _require_harmless(said, programs=programs)
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
    # a PIN may be in a key's URI, a password in a proxy's
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
    """Nothing that runs programs unless this device's owner allows that, and no secret that everybody can read."""
    named = [name for name in _PROGRAMS if said.get(name)]
    if named and not programs:
        raise ConfigurationError(
            f"the configuration names a program ({', '.join(named)}), and this device runs none for a station",
            hint="allow that where the device's side is started",
        )
    for name, value in said.items():
        if name.endswith(_SECRETS) and isinstance(value, str) and value:
            _require_private(name, Path(value))


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
