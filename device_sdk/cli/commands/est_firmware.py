"""`device-sdk est firmware`: a firmware package is fetched, verified, and put into a file or given to a program."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_sdk.cli import inputs, waiting
from device_sdk.cli.files import read_file
from device_sdk.cli.output import Output
from device_sdk.cli.pem import add_constraints, add_crls, certificates_from, crls_in
from device_sdk.cli.precious import claim, release
from device_sdk.cli.secrets import pin_provider, secret_in
from device_sdk.cli.settings import Settings
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.client.firmware import (
        FirmwareRules,
        HardwareModule,
        InstalledFirmware,
        Installer,
        RecordFile,
        Transferred,
    )
    from device_sdk.model.shared_key import SharedKey
    from device_sdk.wire.cms.recipients import OpeningKey


def add_arguments(operation: argparse.ArgumentParser) -> None:
    """Describe what it has beyond the other operations."""
    add = operation.add_argument
    add("--cert", metavar="FILE", help="certificate for TLS; its key is --key")
    add(
        "--installer",
        metavar="PROGRAM",
        help="instead of --out: PROGRAM stage|commit|rollback FILE, PROGRAM active SHA256, PROGRAM ready",
    )
    add(
        "--directory",
        metavar="DIR",
        help="where the package waits, and with --installer the firmware; needs room for both (beside --out, or --record, or TMPDIR)",
    )
    add("--hw-type", metavar="OID", required=True, help="type of this hardware module")
    add("--hw-serial", metavar="HEX", help="its serial number, for packages and reports that name it")
    add(
        "--community",
        metavar="OID",
        action="append",
        default=[],
        help="a community it is in; may be given more than once",
    )
    add(
        "--package",
        metavar="OID",
        action="append",
        default=[],
        help="take this package only, by the object identifier in its name; may be given more than once",
    )
    add(
        "--firmware-anchors",
        metavar="FILE",
        required=True,
        help="who may sign firmware, PEM; --anchors vouch for servers",
    )
    add(
        "--record",
        metavar="FILE",
        help="remembers installed packages and stale versions; without it old firmware may come back",
    )
    add(
        "--counter",
        metavar="URI",
        help="a monotonic counter of the TPM that --record is bound to, so that no older copy of it counts: "
        "tpm2:nv=0x01800100",
    )
    add_crls(operation, " of CAs that vouch for those who sign firmware")
    add_constraints(operation)
    add("--receipt", action="store_true", help="send a receipt, or why it was refused, signed with --key")
    add(
        "--place",
        metavar="TARGET",
        help="which package: `where` of an entry of type 0026 (default: the server's choice)",
    )
    add(
        "--decrypt-key",
        metavar="URI",
        help="key that opens packages which are encrypted for it: a key pair, or a symmetric key in a token or TPM",
    )
    add("--decrypt-secret-file", metavar="FILE", help="AES key that opens packages which name it: hex digits")
    add("--decrypt-id", metavar="HEX", help="identifier of --decrypt-secret-file")
    add(
        "--max-bytes",
        metavar="N",
        type=int,
        help="the largest package, and the largest firmware in it (default: 512 MiB, 1 GiB)",
    )
    add(
        "--min-rate",
        metavar="N",
        type=float,
        help="bytes a second: give up a download that is slower for longer than --timeout (default: 1024)",
    )
    add(
        "--installer-limit",
        metavar="SECONDS",
        type=float,
        help="for each call of --installer, which is ended with all that it started (default: 1800)",
    )
    add(
        "--allow-downgrade",
        action="store_true",
        help="take an older version than the one installed, unless it is stale",
    )
    add(
        "--allow-unsigned",
        action="store_true",
        help="take a package that nobody signed: nothing about it can be checked",
    )


def run(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """`est firmware`."""
    from device_sdk.cli.commands import est

    if bool(options.out) == bool(options.installer):
        raise ConfigurationError("the firmware needs a place", hint="give --out FILE or --installer PROGRAM")
    installer, directory = _installer(options)
    with ExitStack() as opened:
        if options.out:
            claim(installer, options.out, image=True)
            opened.callback(release, installer)
        rules = _rules(options, settings, opened)
        pair = est._pair(options, settings, opened)
        if options.receipt and pair is None:
            raise ConfigurationError("a receipt is signed by the key of a certificate", hint="give --cert and --key")
        client = opened.enter_context(est._client(settings, out, pair))
        try:
            found = client.packages.firmware.install(
                installer,
                rules,
                directory=directory,
                record=_record(options, settings),
                reporter=pair if options.receipt else None,
                target=options.place,
                wait_s=inputs.wait(settings),
                progress=waiting.patience(out),
                transferred=progress_of(out),
            )
        finally:
            waiting.erase_line()
    return _told(found, options, out)


def _told(found: InstalledFirmware | None, options: argparse.Namespace, out: Output) -> int:
    place = options.out or options.installer
    if found is None:
        out.data({"installed": False}, "the server has no firmware for this client")
        return 0
    data: dict[str, Any] = {
        "installed": True,
        "package": str(found.attributes.name) if found.attributes else None,
        "size": found.size,
        "sha256": found.sha256.hex(),
        "file": options.out,
        "reported": found.reported,
    }
    name = data["package"] or "firmware that nobody signed"
    if not options.record:
        out.say("note: nothing remembers this package: an older one may replace it (--record FILE)")
    if found.problem is not None:
        found.problem.hint = f"{name} is installed; only the receipt did not arrive"
        out.error(found.problem, data)
        return found.problem.exit_code
    out.data(data, f"{name}: {found.size} bytes in {place}")
    return 0


def _installer(options: argparse.Namespace) -> tuple[Installer, Path]:
    """It waits beside the record rather than in TMPDIR, which is memory on many devices."""
    waiting = options.directory
    if not waiting and options.installer and options.record:
        waiting = str(Path(options.record).absolute().parent)
    limit = limit_in(options.installer_limit, "--installer-limit")
    return installer_of(options.out, options.installer, waiting, limit)


def limit_in(value: float | None, name: str) -> float:
    """Seconds for each call of an installer; arguments and errors as `rate_in`."""
    from device_sdk.client.firmware import INSTALLER_S

    if value is None:
        return INSTALLER_S
    if not value > 0:
        raise ConfigurationError(f"{name} must be greater than 0")
    return value


def installer_of(
    file: str | None, program: str | None, directory: str | None, limit_s: float
) -> tuple[Installer, Path]:
    """Who takes it, and where the package waits.

    Args:
        file: is replaced, or None.
        program: takes it otherwise, from where the firmware waits, too.
        directory: where both wait; None: beside the file, as there has to be room anyway, else in TMPDIR.
        limit_s: see CommandInstaller.
    """
    import tempfile

    from device_sdk.client.firmware import CommandInstaller, FileInstaller

    if file:
        return FileInstaller(file), Path(directory) if directory else Path(file).absolute().parent
    place = Path(directory or tempfile.gettempdir())
    return CommandInstaller(program or "", place, limit_s), place


def _record(options: argparse.Namespace, settings: Settings) -> RecordFile | None:
    from device_sdk.client.firmware import RecordFile
    from device_sdk.keystores.registry import open_counter

    if options.counter and not options.record:
        raise ConfigurationError("--counter is for the record", hint="give --record FILE as well")
    if not options.record:
        return None
    counter = open_counter(options.counter, pin=pin_provider(settings)) if options.counter else None
    return RecordFile(options.record, counter)


def _rules(options: argparse.Namespace, settings: Settings, opened: ExitStack) -> FirmwareRules:
    from device_sdk.client.firmware import FirmwarePolicy, FirmwareRules

    limits: dict[str, Any] = {}
    if options.max_bytes is not None:
        if options.max_bytes < 1:
            raise ConfigurationError("--max-bytes must be at least 1")
        limits = {"limit_bytes": options.max_bytes, "image_limit_bytes": options.max_bytes}
    lists, issuers = crls_in(options.crls)
    return FirmwareRules(
        certificates_from(read_file(options.firmware_anchors), options.firmware_anchors),
        FirmwarePolicy(
            module_of(options.hw_type, options.hw_serial, options.community),
            allow_downgrade=options.allow_downgrade,
            packages=packages_in(options.package),
        ),
        keys=_keys(options, settings, opened),
        require_signed=not options.allow_unsigned,
        constraints=options.constraints,
        revocation_lists=lists,
        list_issuers=issuers,
        min_rate=rate_in(options.min_rate, "--min-rate"),
        **limits,
    )


def rate_in(value: float | None, name: str) -> float:
    """Bytes a second, 1 at least.

    Args:
        value: as it was given; None for the usual.
        name: of the option or setting.

    Raises:
        ConfigurationError: less than that, or no number.
    """
    from device_sdk.client.firmware import MIN_RATE

    if value is None:
        return MIN_RATE
    if not value >= 1:
        raise ConfigurationError(f"{name} must be at least 1 byte a second")
    return value


def packages_in(identifiers: Sequence[str]) -> tuple[str, ...]:
    """The packages that are taken, dotted.

    Raises:
        ConfigurationError: one is no object identifier.
    """
    from device_sdk.wire.hardware_module_name import object_identifier

    return tuple(object_identifier(one) for one in identifiers)


def module_of(hardware: str, digits: str | None, communities: Sequence[str]) -> HardwareModule:
    """This device.

    Args:
        hardware: its type, an object identifier.
        digits: its serial number, hex.
        communities: object identifiers.

    Raises:
        ConfigurationError: one of them is none.
    """
    from device_sdk.client.firmware import HardwareModule
    from device_sdk.wire.hardware_module_name import object_identifier

    serial = _bytes(digits, "the serial number of the hardware") if digits else None
    return HardwareModule(object_identifier(hardware), serial, tuple(object_identifier(one) for one in communities))


def _keys(options: argparse.Namespace, settings: Settings, opened: ExitStack) -> tuple[OpeningKey, ...]:
    found: list[OpeningKey] = []
    if options.decrypt_key:
        found.append(inputs.opening_key(options.decrypt_key, settings, opened))
    if bool(options.decrypt_secret_file) != bool(options.decrypt_id):
        raise ConfigurationError("--decrypt-secret-file and --decrypt-id go together")
    if options.decrypt_secret_file:
        found.append(_shared(options))
    return tuple(found)


def _shared(options: argparse.Namespace) -> SharedKey:
    from device_sdk.model.secret import Secret
    from device_sdk.model.shared_key import SharedKey

    digits = secret_in(options.decrypt_secret_file).reveal().decode("ascii", "replace")
    value = _bytes(digits, "what --decrypt-secret-file holds")
    return SharedKey(_bytes(options.decrypt_id, "--decrypt-id"), Secret(value))


def _bytes(digits: str, what: str) -> bytes:
    try:
        return bytes.fromhex(digits.strip())
    except ValueError:
        raise ConfigurationError(f"{what}: not hex digits") from None


def progress_of(out: Output) -> Transferred | None:
    """Shows on a terminal how much has come."""
    if out.as_json:
        return None
    shown = -1

    def tell(size: int, length: int | None) -> None:
        nonlocal shown
        if size >> 20 == shown:
            return
        shown = size >> 20
        share = f" of {length / 2**20:.0f}" if length else ""
        waiting.show_line(f"firmware: {size / 2**20:.0f}{share} MiB")

    return tell
