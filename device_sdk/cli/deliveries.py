"""What `sync` may do with packages that change the device: the settings of the tables [keys] and [firmware]."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_sdk.cli.commands import est_firmware
from device_sdk.cli.files import read_file
from device_sdk.cli.output import Output
from device_sdk.cli.package_options import recipient_in
from device_sdk.cli.pem import certificates_from
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
    "keys.returns",
    "keys.receipt_recipient",
)
GENERATED = (
    "generated.key",
    "generated.out",
    "generated.anchors",
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
    "firmware.open_with",
    "firmware.counter",
    "firmware.max_bytes",
    "firmware.min_rate",
    "firmware.allow_downgrade",
    "firmware.returns",
)


def deliveries(settings: Settings, out: Output, *, again: bool = False) -> Deliveries:
    """What the settings say; files are read when a package comes.

    Args:
        settings: they.
        out: where progress is shown.
        again: see FirmwareDelivery.
    """
    from device_sdk.client.device.sync import Deliveries

    firmware = settings.text("firmware.installer") or settings.text("firmware.out")
    return Deliveries(
        keys=(lambda: _keys(settings)) if settings.text("keys.to") else None,
        firmware=(lambda: replace(_firmware(settings, out), again=again)) if firmware else None,
        generated=(lambda: _generated(settings)) if settings.text("generated.key") else None,
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
    anchors, password = settings.text("generated.anchors"), settings.text("generated.pkcs12_password_file")
    return GeneratedDelivery(
        settings.require("generated.key"),
        Path(settings.require("generated.out")).absolute(),
        KeyPackagePolicy(_anchors(settings, "generated.anchors"), receipt_recipient=recipient) if anchors else None,
        Pkcs12Policy(secret_in(password)) if password else None,
        returns=settings.switch("generated.returns"),
    )


def _firmware(settings: Settings, out: Output) -> FirmwareDelivery:
    from device_sdk.client.device.sync import FirmwareDelivery
    from device_sdk.client.firmware import FirmwarePolicy, FirmwareRules

    program, file = settings.text("firmware.installer"), settings.text("firmware.out")
    if program and file:
        raise ConfigurationError("firmware.installer and firmware.out exclude each other")
    installer, directory = est_firmware.installer_of(file, program)
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
        FirmwarePolicy(module, allow_downgrade=settings.switch("firmware.allow_downgrade")),
        constraints=settings.get("firmware.constraints"),
        min_rate=est_firmware.rate_in(settings.number("firmware.min_rate"), "firmware.min_rate"),
        **limits,
    )
    return FirmwareDelivery(
        rules,
        installer,
        Path(settings.text("firmware.directory") or directory),
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
