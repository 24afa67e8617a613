"""`device-sdk-sim modules`: which hardware modules devices are (RFC 4108 section 1.2.3, FR-07)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from device_sdk_simulators.cli import option_types as types
from device_sdk_simulators.cli.queue import opened_database, table_of
from device_sdk_simulators.cli.speaking import UsageError, say
from device_sdk_simulators.softhsm import SimulatorError


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser("modules", help="which hardware modules devices are, for reports about firmware")
    parser.add_argument("action", choices=("list", "register", "forget"))
    parser.add_argument("device", nargs="?", metavar="DEVICE", help="serial number of a certificate, or name of a user")
    parser.add_argument("module", nargs="?", metavar="OID:HEX", help="for register: type and serial number")
    parser.add_argument("--json", action="store_true", help="for list: as one JSON object")
    parser.add_argument("--state", type=Path, metavar="DIR", required=True, help="the server's state directory")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from device_sdk_simulators.packages.addresses import address_for
    from device_sdk_simulators.packages.firmware.modules import Modules

    given = (options.device is not None) + (options.module is not None)
    if given != {"list": 0, "forget": 1, "register": 2}[options.action]:
        raise UsageError("list has no arguments, forget DEVICE, register DEVICE and OID:HEX")
    with opened_database(options) as database:
        modules = Modules(database)
        if options.action == "list":
            found = modules.registered()
            rows: list[dict[str, object]] = [{"device": one, "module": found[one]} for one in found]
            say(json.dumps(found) if options.json else "\n".join([f"modules: {len(rows)}", *table_of(rows)]))
            return 0
        address = address_for(options.device, database)
        if options.action == "register":
            modules.register(address, _module(options.module, address))
            say(f"registered {options.module}")
        elif not modules.forget(address):
            raise SimulatorError(f"no module is registered for {options.device}")
        else:
            say(f"forgotten {options.device}")
    return 0


def _module(text: str, address: str) -> str:
    oid, _, serial = text.partition(":")
    try:
        module = f"{types.object_identifier(oid)} {bytes.fromhex(serial.replace(':', '')).hex()}"
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise UsageError(f"{text}: not OID:HEX, type and serial number: {error}") from error
    if address == "*" or not serial:
        raise UsageError("one device is one module, which has a serial number")
    return module
