"""What `sync` may do with packages that change the device: the settings of the tables [keys] and [firmware]."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_sdk.cli.commands import est_firmware
from device_sdk.cli.files import read_file
from device_sdk.cli.output import Output
from device_sdk.cli.package_options import recipient_in
from device_sdk.cli.pem import certificates_from
from device_sdk.cli.precious import require_replaceable
from device_sdk.cli.secrets import secret_in
from device_sdk.cli.settings import Settings
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509

    from device_sdk.client.device.sync import (
        Deliveries,
        FirmwareDelivery,
        GeneratedDelivery,
        KeyDelivery,
        KeyEstablishmentDelivery,
    )

KEYS = (
    "keys.to",
    "keys.anchors",
    "keys.replace",
    "keys.open_with",
    "keys.device_bindings",
    "keys.constraints",
    "keys.allow_unencrypted",
    "keys.allow_unaddressed",
    "keys.returns",
    "keys.receipt_recipient",
)
GENERATED = (
    "generated.key",
    "generated.out",
    "generated.anchors",
    "generated.allow_unaddressed",
    "generated.pkcs12_password_file",
    "generated.returns",
    "generated.receipt_recipient",
)
KEY_ESTABLISHMENT = ("key_establishment.key", "key_establishment.type")
FIRMWARE = (
    "firmware.installer",
    "firmware.out",
    "firmware.directory",
    "firmware.anchors",
    "firmware.constraints",
    "firmware.hardware_type",
    "firmware.serial",
    "firmware.communities",
    "firmware.packages",
    "firmware.open_with",
    "firmware.counter",
    "firmware.max_bytes",
    "firmware.min_rate",
    "firmware.installer_limit_s",
    "firmware.allow_downgrade",
    "firmware.returns",
)


def deliveries(settings: Settings, out: Output, *, again: bool = False) -> Deliveries:
    """What the settings say; files are read when a package comes.

    Args:
        settings: they.
        out: where progress is shown.
        again: see FirmwareDelivery and GeneratedDelivery.
    """
    from device_sdk.client.device.sync import Deliveries

    firmware = settings.text("firmware.installer") or settings.text("firmware.out")
    return Deliveries(
        keys=(lambda: _keys(settings)) if settings.text("keys.to") else None,
        firmware=(lambda: replace(_firmware(settings, out), again=again)) if firmware else None,
        generated=(lambda: replace(_generated(settings), again=again)) if settings.text("generated.key") else None,
        key_establishment=(lambda: _key_establishment(settings)) if settings.text("key_establishment.key") else None,
    )


def _key_establishment(settings: Settings) -> KeyEstablishmentDelivery:
    from device_sdk.client.device.sync import KeyEstablishmentDelivery
    from device_sdk.model.keys import KeyType

    kind = settings.text("key_establishment.type")
    return KeyEstablishmentDelivery(settings.require("key_establishment.key"), KeyType(kind) if kind else None)


def _keys(settings: Settings) -> KeyDelivery:
    from device_sdk.client.device.sync import KeyDelivery
    from device_sdk.client.est.symmetric_keys import KeyPackagePolicy

    to = settings.require("keys.to")
    policy = KeyPackagePolicy(
        _anchors(settings, "keys.anchors"),
        require_encryption=not settings.switch("keys.allow_unencrypted"),
        require_addressed=not settings.switch("keys.allow_unaddressed"),
        constraints=settings.get("keys.constraints"),
        device_bindings=settings.list("keys.device_bindings"),
        receipt_recipient=recipient_in(settings.text("keys.receipt_recipient")),
    )
    return KeyDelivery(
        policy,
        to if to.startswith(("pkcs11:", "tpm2:")) else Path(to).absolute(),
        replace=settings.switch("keys.replace"),
        open_with=settings.list("keys.open_with"),
        returns=settings.switch("keys.returns"),
    )


def _generated(settings: Settings) -> GeneratedDelivery:
    from device_sdk.client.device.sync import GeneratedDelivery
    from device_sdk.client.est.symmetric_keys import KeyPackagePolicy
    from device_sdk.model.pkcs12 import Pkcs12Policy

    recipient = recipient_in(settings.text("generated.receipt_recipient"))
    addressed = not settings.switch("generated.allow_unaddressed")
    anchors, password = settings.text("generated.anchors"), settings.text("generated.pkcs12_password_file")
    key, certificate = settings.require("generated.key"), Path(settings.require("generated.out")).absolute()
    require_replaceable(str(certificate))
    _require_apart(key, certificate)
    return GeneratedDelivery(
        key,
        certificate,
        KeyPackagePolicy(
            _anchors(settings, "generated.anchors"), require_addressed=addressed, receipt_recipient=recipient
        )
        if anchors
        else None,
        Pkcs12Policy(secret_in(password)) if password else None,
        returns=settings.switch("generated.returns"),
    )


def _require_apart(key: str, certificate: Path) -> None:
    """The certificate would take the place of the key that was just stored."""
    from device_sdk.wire.key_uri import parse_key_uri
    from device_sdk.wire.key_uri.file import FileUri
    from device_sdk.wire.key_uri.tpm2 import Tpm2Uri

    uri = parse_key_uri(key)
    place = uri.file if isinstance(uri, Tpm2Uri) else uri.path if isinstance(uri, FileUri) else None
    if place and os.path.realpath(place) == os.path.realpath(certificate):
        raise ConfigurationError(f"generated.key and generated.out name one file: {certificate}", hint="name two files")


def _firmware(settings: Settings, out: Output) -> FirmwareDelivery:
    from device_sdk.client.device.sync import FirmwareDelivery
    from device_sdk.client.firmware import FirmwarePolicy, FirmwareRules

    program, file = settings.text("firmware.installer"), settings.text("firmware.out")
    if program and file:
        raise ConfigurationError("firmware.installer and firmware.out exclude each other")
    if file:
        require_replaceable(file, image=True)
    # TMPDIR is memory on many devices, where no firmware has room
    waiting = settings.text("firmware.directory") or (None if file else settings.require("state_dir"))
    limit = est_firmware.limit_in(settings.number("firmware.installer_limit_s"), "firmware.installer_limit_s")
    installer, directory = est_firmware.installer_of(file, program, waiting, limit)
    module = est_firmware.module_of(
        settings.require("firmware.hardware_type"),
        settings.text("firmware.serial"),
        settings.list("firmware.communities"),
    )
    returns = settings.switch("firmware.returns")
    if returns and module.serial is None:
        raise ConfigurationError(
            "firmware.serial is not set, and receipts name the serial number",
            hint="set it (hex), or switch receipts off: firmware.returns",
        )
    most = settings.number("firmware.max_bytes")
    limits: dict[str, Any] = {} if most is None else {"limit_bytes": int(most), "image_limit_bytes": int(most)}
    rules = FirmwareRules(
        _anchors(settings, "firmware.anchors"),
        FirmwarePolicy(
            module,
            allow_downgrade=settings.switch("firmware.allow_downgrade"),
            packages=est_firmware.packages_in(settings.list("firmware.packages")),
        ),
        constraints=settings.get("firmware.constraints"),
        min_rate=est_firmware.rate_in(settings.number("firmware.min_rate"), "firmware.min_rate"),
        **limits,
    )
    return FirmwareDelivery(
        rules,
        installer,
        directory,
        open_with=settings.list("firmware.open_with"),
        counter=settings.text("firmware.counter"),
        returns=returns,
        transferred=est_firmware.progress_of(out),
    )


def _anchors(settings: Settings, name: str) -> tuple[x509.Certificate, ...]:
    """The file that is named; else the apex and the anchors for management of this device (RFC 5934 section 1.2.2)."""
    from device_sdk.state import StateDirectory

    path = settings.text(name)
    found = certificates_from(read_file(path), path) if path else ()
    found = found or StateDirectory(settings.require("state_dir")).managed.managers()
    if not found:
        raise ConfigurationError(
            f"nobody may sign this: {name} is not set, and nobody manages this device",
            hint=f"set {name}, or say who manages the device: device-sdk anchors import",
        )
    return found
