"""[key] and [est]: the key that devices make, and the server that certifies it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from device_sdk.errors import ConfigurationError
from device_sdk.model.keys import KeyType
from device_sdk.model.trust import Pin
from device_sdk.model.urls import split_url
from device_sdk.station.ledger.content import is_secret_name
from device_sdk.station.profile.secret_source import SecretSource, secret_source
from device_sdk.station.profile.tables import Table
from device_sdk.wire.fingerprint import parse_pin


@dataclass(frozen=True)
class KeyTable:
    """[key].

    Attributes:
        uri: where devices make their key: a key URI on the device, without a PIN; None in mode "configure".
        type: algorithm and size.
        file_allowed: whether a key file will do where the URI names one.
        attested: what the device's keystore has to say of the key, [key.attested]: name to value, `fixed_tpm = true`.
    """

    uri: str | None = None
    type: KeyType = KeyType.EC_P256
    file_allowed: bool = False
    attested: dict[str, bool | str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class EstTable:
    """[est].

    Attributes:
        url: the EST server; for the modes "self" and "relay".
        label: CA label.
        anchors: PEM file with the trust anchors that devices' certificates have to lead to.
        pins: fingerprints of the CA instead.
        ra_certificate: PEM file with the station's own certificate and chain, of a registration authority (mode "relay").
        ra_key: key URI of that certificate's key, which may be in a token.
        ra_pin: where its PIN is.
        timeout_s: limit of one exchange with the server.
        wait_s: how long the server may let the station wait.
    """

    url: str | None = None
    label: str | None = None
    anchors: Path | None = None
    pins: tuple[Pin, ...] = ()
    ra_certificate: Path | None = None
    ra_key: str | None = None
    ra_pin: SecretSource | None = None
    timeout_s: float = 60.0
    wait_s: float = 0.0


def key_table(table: Table) -> KeyTable:
    """Read [key]; raises ConfigurationError."""
    attested = table.table("attested").rest()
    for name, value in attested.items():
        if is_secret_name(name):
            raise table.error(f"attested.{name}", "is not taken: a profile holds no secrets")
        if not isinstance(value, bool | str | int):
            raise table.error(f"attested.{name}", "has to be true, false, a text or a whole number")
    kind = table.text("type", KeyType.EC_P256.value, choices=[one.value for one in KeyType])
    found = KeyTable(table.optional("uri"), KeyType(kind), table.switch("file_allowed", default=False), attested)
    if found.uri and "pin-value" in found.uri:
        raise table.error(
            "uri", "names a PIN: a profile holds no secrets", hint="configure the PIN on the device (pin-source)"
        )
    table.end()
    return found


def est_table(table: Table) -> EstTable:
    """Read [est]; raises ConfigurationError."""
    found = EstTable(
        url=table.optional("url"),
        label=table.optional("label"),
        anchors=table.path("anchors"),
        pins=tuple(_pin(table, text) for text in table.texts("pins")),
        ra_certificate=table.path("ra_certificate"),
        ra_key=_without_pin(table, "ra_key"),
        ra_pin=secret_source(table, "ra_pin"),
        timeout_s=table.number("timeout_s", 60, least=1, most=3600),
        wait_s=table.number("wait_s", 0, least=0, most=86400),
    )
    table.end()
    if found.url is not None:
        try:
            split_url(found.url)
        except ConfigurationError as error:
            raise table.error("url", f"cannot be used: {error.message}", hint=error.hint) from error
    if found.pins and found.anchors:
        raise table.error("pins", "do not go together with anchors")
    return found


def _pin(table: Table, text: str) -> Pin:
    try:
        return parse_pin(text)
    except ConfigurationError as error:
        raise table.error("pins", f"cannot be read: {error.message}", hint=error.hint) from error


def _without_pin(table: Table, key: str) -> str | None:
    uri = table.optional(key)
    if uri and "pin-value" in uri:
        raise table.error(
            key, "names a PIN: a profile holds no secrets", hint="use ra_pin_file, or pin-source in the URI"
        )
    return uri
