"""What a device's request may say, from what a station knows of it: its facts, its key, and the configuration it was given."""

from __future__ import annotations

import tomllib
from collections.abc import Collection

from device_sdk.client.bench.facts import BenchKey, DeviceFacts
from device_sdk.errors import ConfigurationError
from device_sdk.model.keys import KeyType
from device_sdk.protocols.est.relayed import RelayedIdentity
from device_sdk.wire.names import parse_dn, parse_san


def identity_of(
    facts: DeviceFacts,
    key: BenchKey,
    config: bytes = b"",
    *,
    key_types: Collection[KeyType] = tuple(KeyType),
    in_certificate: str = "any",
) -> RelayedIdentity:
    """What `Relay.enroll` holds a request against.

    Args:
        facts: of the device.
        key: that it made.
        config: the configuration file the station gave it: its identity.subject, identity.san and
            identity.hardware_type are what it may be called.
            b"" where the station gave it none: then its name is its serial number.
        key_types: which are taken.
        in_certificate: where the serial number has to be; see RelayedIdentity.

    Raises:
        ConfigurationError: the configuration cannot be read.
    """
    table = _identity_table(config)
    subject, names, hardware_type = table.get("subject"), table.get("san", []), table.get("hardware_type")
    if not isinstance(subject, str | None) or not isinstance(hardware_type, str | None) or not isinstance(names, list):
        raise ConfigurationError(
            "the device's configuration: identity.subject and identity.hardware_type are texts, identity.san a list of texts"
        )
    return RelayedIdentity(
        serial_number=facts.serial_number,
        public_key=key.public_key,
        macs=facts.macs,
        key_types=tuple(key_types),
        in_certificate=in_certificate,
        subject=parse_dn(subject) if subject else None,
        alternative_names=tuple(parse_san(str(name)) for name in names),
        hardware_type=hardware_type,
    )


def _identity_table(config: bytes) -> dict[str, object]:
    try:
        table = tomllib.loads(config.decode()).get("identity", {})
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"the device's configuration is no TOML: {error}") from error
    if not isinstance(table, dict):
        raise ConfigurationError("the device's configuration: identity is no table")
    return table
