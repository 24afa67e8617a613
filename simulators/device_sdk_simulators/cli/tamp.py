"""`device-sdk-sim tamp`: the trust anchors of the server that manage those of devices (RFC 5934)."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from device_sdk_simulators.cli import option_types as types
from device_sdk_simulators.cli.publish_tamp import FORMS
from device_sdk_simulators.cli.queue import opened_database, table_of
from device_sdk_simulators.cli.speaking import say


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    tamp = commands.add_parser("tamp", help="trust anchors that manage those of devices")
    verbs = tamp.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="those there are")
    listing.set_defaults(run=_list)
    making = verbs.add_parser("make", help="make another one")
    making.add_argument("name", help="apex-..., management-... or identity-...")
    making.add_argument(
        "--key-type", choices=types.KEY_TYPES, default="ec-p256", help="of its key (default: %(default)s)"
    )
    making.set_defaults(run=_make)
    export = verbs.add_parser("anchors", help="write what devices have from the factory")
    export.add_argument("--out", type=Path, metavar="DIR", required=True, help="NAME.pem, NAME.der and anchors.der")
    export.add_argument("--form", choices=FORMS, default="info", help="of NAME.der (default: %(default)s)")
    export.add_argument("names", nargs="*", metavar="ANCHOR", help="default: apex and management")
    export.set_defaults(run=_export)
    devices = verbs.add_parser("devices", help="what devices said last of what they hold")
    devices.set_defaults(run=_devices)
    for parser in (listing, making, export, devices):
        parser.add_argument("--state", type=Path, metavar="DIR", required=True, help="the server's state directory")
        parser.add_argument("--json", action="store_true", help="as JSON")


def _list(options: argparse.Namespace) -> int:
    from device_sdk_simulators.packages.signing import key_identifier
    from device_sdk_simulators.packages.tamp.authority import TampAuthority, role_of
    from device_sdk_simulators.packages.tamp.book import TampBook

    with opened_database(options) as database:
        authority, book = TampAuthority(options.state, datetime.now(UTC)), TampBook(database)
        rows: list[dict[str, object]] = []
        for name in authority.names():
            identifier = key_identifier(authority.authority(name).root.certificate)
            rows.append(
                {
                    "name": name,
                    "role": role_of(name),
                    "key_id": identifier.hex(),
                    "next_number": book.next_number(identifier),
                }
            )
    _show(options, rows)
    return 0


def _make(options: argparse.Namespace) -> int:
    from device_sdk_simulators.packages.tamp.authority import TampAuthority

    with opened_database(options):
        made = TampAuthority(options.state, datetime.now(UTC)).make(options.name, options.key_type)
    say(json.dumps({"name": options.name, "file": str(made.anchors)}) if options.json else f"made {made.anchors}")
    return 0


def _export(options: argparse.Namespace) -> int:
    from device_sdk_simulators.packages.tamp.authority import APEX, MANAGEMENT, TampAuthority

    with opened_database(options):
        authority = TampAuthority(options.state, datetime.now(UTC))
    _show(options, authority.export(options.out, options.form, options.names or (APEX, MANAGEMENT)))
    return 0


def _devices(options: argparse.Namespace) -> int:
    from device_sdk_simulators.packages.tamp.authority import TampAuthority
    from device_sdk_simulators.packages.tamp.book import TampBook

    with opened_database(options) as database:
        found = TampBook(database).holdings()
        names = TampAuthority(options.state, datetime.now(UTC)).names_by_key()
    if options.json:
        say(json.dumps([{"device": address, **holds} for address, holds in found.items()]))
    else:
        say(
            "\n".join(line for address in found for line in _told(address, found[address], names))
            or "no device said anything"
        )
    return 0


def _told(address: str, holds: dict[str, Any], names: dict[str, str]) -> list[str]:
    numbers = holds.get("numbers", {})
    rows: list[dict[str, object]] = [
        {"anchor": names.get(one, "-"), "key_id": one, "number": numbers.get(one, ""), "role": ""}
        for one in holds.get("anchors", [])
    ]
    if rows and holds.get("apex"):
        rows[0]["role"] = "apex"
    communities = ", ".join(holds.get("communities", [])) or "none"
    return [f"{address}, {holds['at']}", *table_of(rows), f"  communities: {communities}"]


def _show(options: argparse.Namespace, rows: list[dict[str, object]]) -> None:
    say(json.dumps(rows) if options.json else "\n".join(table_of(rows)))
