"""`device-sdk-sim publish firmware`: a file is made a firmware package (RFC 4108)."""

from __future__ import annotations

import argparse
import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from device_sdk_simulators.cli import option_types as types
from device_sdk_simulators.cli.speaking import say
from device_sdk_simulators.packages.media_types import application_cms
from device_sdk_simulators.softhsm import SimulatorError

if TYPE_CHECKING:
    from device_sdk_simulators.database import Database
    from device_sdk_simulators.packages.firmware.making import Encryption
    from device_sdk_simulators.packages.firmware.notes import Name, Notes

_LARGEST = 2**63 - 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe what firmware needs beyond other packages."""
    group = parser.add_argument_group("firmware")
    add = group.add_argument
    add("--package", metavar="OID", type=types.object_identifier, help="name of the package")
    add(
        "--package-version",
        metavar="N",
        type=types.whole_number(0, _LARGEST),
        default=1,
        help="its version (default: %(default)s)",
    )
    add("--legacy-name", metavar="TEXT", help="instead of both")
    add("--stale", metavar="N|TEXT", help="the newest version that must not be loaded any more, or a legacy name")
    add(
        "--hw-type",
        metavar="OID",
        type=types.object_identifier,
        action="append",
        default=[],
        help="type of hardware it is for; may be given more than once",
    )
    add(
        "--community",
        metavar="OID",
        type=types.object_identifier,
        action="append",
        default=[],
        help="whom it is restricted to; may be given more than once",
    )
    add(
        "--hw-serial",
        metavar="HEX[-HEX]",
        action="append",
        default=[],
        help="modules of the first --hw-type it is restricted to",
    )
    add("--package-type", metavar="N", type=types.whole_number(0, _LARGEST), help="a number of your own")
    add("--needs", metavar="OID:VERSION", action="append", default=[], help="what has to be there already")
    add("--compress", action="store_true", help="deflate it")
    add(
        "--encrypt-for",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="certificate, PEM, of a device it is encrypted for",
    )
    add("--encrypt-key", metavar="FILE", type=Path, help="AES key the devices have, hex digits")
    add("--encrypt-id", metavar="HEX", help="what they call it")
    add("--unsigned", action="store_true", help="nobody signs it; a device has to refuse it")


def publish(options: argparse.Namespace, database: Database, address: str, now: datetime) -> str:
    """Make the package and put it on the shelf; its item name.

    Raises:
        SimulatorError: options or files that make no package.
    """
    from pyasn1.codec.der.encoder import encode

    from device_sdk_simulators.packages.firmware.authority import firmware_authority
    from device_sdk_simulators.packages.firmware.making import make_package
    from device_sdk_simulators.packages.firmware.notes import package_name
    from device_sdk_simulators.packages.firmware.shelf import FirmwareShelf

    notes, encryption = _notes(options), _encryption(options)
    authority = firmware_authority(options.state, now)
    signer = authority.signer("Reference Firmware Signer", now)

    def write(out: BinaryIO) -> None:
        with options.file.open("rb") as firmware:
            make_package(
                firmware,
                out,
                notes,
                None if options.unsigned else signer,
                compressed=options.compress,
                encryption=encryption,
                certificates=[signer.certificate],
            )

    name = "" if options.unsigned else bytes(encode(package_name(notes.name))).hex()
    media = media_type_of(signed=not options.unsigned, encrypted=encryption is not None, compressed=options.compress)
    try:
        item = FirmwareShelf(database).publish(
            write, name, media_type=media, address=address, label=options.label or "", now=now
        )
    except OSError as error:
        raise SimulatorError(f"{options.file}: {error.strerror or error}") from error
    if not options.json:
        say(f"devices verify it with {authority.anchors}")
    return item


def media_type_of(*, signed: bool, encrypted: bool, compressed: bool) -> str:
    """Content-Type of a package with these layers."""
    names = [("signedData", signed), ("encryptedData", encrypted), ("compressedData", compressed)]
    return application_cms([name for name, there in names if there], "firmwarePackage")


def _notes(options: argparse.Namespace) -> Notes:
    from device_sdk_simulators.packages.firmware.notes import Notes

    if bool(options.package) == bool(options.legacy_name):
        raise SimulatorError("firmware has a name: --package OID, or --legacy-name TEXT")
    if not options.hw_type:
        raise SimulatorError("firmware is for some type of hardware: --hw-type OID")
    name: Name = options.legacy_name.encode() if options.legacy_name else (options.package, options.package_version)
    stale: int | bytes | None = None
    if options.stale is not None:
        stale = options.stale.encode() if options.legacy_name else _number(options.stale)
    modules = [(options.hw_type[0], tuple(map(serials, options.hw_serial)))] if options.hw_serial else []
    return Notes(
        name,
        tuple(options.hw_type),
        stale=stale,
        communities=(*options.community, *modules),
        kind=options.package_type,
        dependencies=tuple(map(_needed, options.needs)),
    )


def serials(text: str) -> bytes | tuple[bytes, bytes]:
    """One serial number, or the first and the last of a block; SimulatorError for what is none."""
    low, dash, high = text.partition("-")
    try:
        first, last = bytes.fromhex(low), bytes.fromhex(high)
    except ValueError:
        raise SimulatorError(f"{text}: not hex digits") from None
    if not dash:
        return first
    if len(first) != len(last) or first > last:
        raise SimulatorError(f"{text}: no block: from the lower serial number to the higher one, both as long")
    return first, last


def _number(text: str) -> int:
    try:
        return types.whole_number(0, _LARGEST)(text)
    except argparse.ArgumentTypeError as error:
        raise SimulatorError(f"--stale: {error}, as the package has a number for a version") from error


def _needed(text: str) -> tuple[str, int]:
    oid, _, version = text.partition(":")
    try:
        return types.object_identifier(oid), types.whole_number(0, _LARGEST)(version)
    except argparse.ArgumentTypeError as error:
        raise SimulatorError(f"{text}: not OID:VERSION: {error}") from error


def _encryption(options: argparse.Namespace) -> Encryption | None:
    from cryptography import x509

    from device_sdk_simulators.packages.firmware.layers import ContentKey
    from device_sdk_simulators.packages.firmware.making import Encryption

    if bool(options.encrypt_key) != bool(options.encrypt_id):
        raise SimulatorError("--encrypt-key and --encrypt-id go together")
    try:
        if options.encrypt_key:
            key = ContentKey(bytes.fromhex(options.encrypt_key.read_text().strip()))
            return Encryption(bytes.fromhex(options.encrypt_id), key)
        found = [x509.load_pem_x509_certificate(path.read_bytes()) for path in options.encrypt_for]
    except (OSError, ValueError) as error:
        raise SimulatorError(f"what the package is to be encrypted with: {error}") from error
    return Encryption(os.urandom(16), ContentKey(), found) if found else None
