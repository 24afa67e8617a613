"""`device-sdk-sim publish|withdraw|packages`: what devices find on their package lists (RFC 8295)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk_simulators.cli import option_types as types
from device_sdk_simulators.cli import publish_firmware, publish_keys, publish_tamp
from device_sdk_simulators.cli.queue import opened_database, table_of
from device_sdk_simulators.cli.speaking import complain, say
from device_sdk_simulators.softhsm import SimulatorError

if TYPE_CHECKING:
    from cryptography import x509

_FIRMWARE, _KEYS, _TAMP = "firmware", "keys", "tamp"
_GENERATED, _FORMS = "generated-key", {"pkcs8": "0020", "cms": "0021", "pkcs12": "0022"}
_TYPES = {"peers": ("eecerts", "0003", "application/pkcs7-mime; smime-type=certs-only")}


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the commands."""
    publishing = commands.add_parser("publish", help="put a package on the package lists of devices")
    publishing.add_argument(
        "kind",
        choices=(*_TYPES, _KEYS, _FIRMWARE, _TAMP, _GENERATED),
        help="peers: certificates of those the devices will talk to; keys: symmetric keys; firmware: an image; "
        "tamp: a message about trust anchors; generated-key: an offer to make a key",
    )
    publishing.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="peers: certificates, PEM; keys: JSON with id, algorithm and value (hex) of each, mode 0600; firmware: any file; "
        "tamp: which message: query, update, apex-update, community-update or sequence-adjust; "
        f"generated-key: in which form: {', '.join(_FORMS)}",
    )
    publishing.add_argument(
        "--to",
        required=True,
        metavar="DEVICE",
        help="serial number of a certificate the device has or had, name of a user, or * for all",
    )
    publishing.add_argument("--label", type=types.label, help="for devices that ask with this CA label")
    publishing.add_argument("--json", action="store_true", help="as one JSON object")
    publishing.add_argument(
        "--by-cmc",
        action="store_true",
        help="generated-key: to be asked for by Full CMC (/fullcmc) instead of /serverkeygen",
    )
    own = {_GENERATED: {"by_cmc"}}
    for kind, module in ((_KEYS, publish_keys), (_FIRMWARE, publish_firmware), (_TAMP, publish_tamp)):
        before = {action.dest for action in publishing._actions}
        module.add_options(publishing)
        own[kind] = {action.dest for action in publishing._actions} - before
    own[_TAMP] |= {"hw_type", "hw_serial", "community"}
    publishing.set_defaults(run=partial(_publish, actions=publishing._actions, own=own))
    withdrawing = commands.add_parser("withdraw", help="take a package off the package lists")
    withdrawing.add_argument("item", help="name of the package, as `packages` or `publish` shows it")
    withdrawing.set_defaults(run=_withdraw)
    listing = commands.add_parser("packages", help="packages, and which devices were sent them")
    listing.add_argument("--json", action="store_true", help="as a JSON array")
    listing.set_defaults(run=_list)
    for parser in (publishing, withdrawing, listing):
        parser.add_argument("--state", type=Path, metavar="DIR", required=True, help="the server's state directory")


def _require_own(options: argparse.Namespace, actions: Sequence[argparse.Action], own: Mapping[str, set[str]]) -> None:
    """Options of other kinds would be passed over, and somebody meant something by them; SimulatorError names them."""
    fits = own.get(options.kind, set())
    foreign = set().union(*own.values()) - fits
    for action in actions:
        if action.dest in foreign and getattr(options, action.dest) != action.default:
            raise SimulatorError(f"{' or '.join(action.option_strings)}: not an option of `publish {options.kind}`")


def _publish(options: argparse.Namespace, *, actions: Sequence[argparse.Action], own: Mapping[str, set[str]]) -> int:
    from device_sdk_simulators.packages.addresses import address_for
    from device_sdk_simulators.packages.shelf import Shelf

    _require_own(options, actions, own)
    if options.kind == _FIRMWARE:
        return _publish_firmware(options)
    if options.kind == _KEYS:
        return _publish_keys(options)
    if options.kind == _TAMP:
        return _publish_tamp(options)
    operation, kind, media_type, content = _content(options)
    with opened_database(options) as database:
        item = Shelf(database).publish(
            operation,
            kind,
            content,
            media_type=media_type,
            address=address_for(options.to, database),
            label=options.label or "",
            now=datetime.now(UTC),
        )
    return _published(options, item, kind, operation)


def _publish_firmware(options: argparse.Namespace) -> int:
    from device_sdk_simulators.packages.addresses import address_for

    with opened_database(options) as database:
        item = publish_firmware.publish(options, database, address_for(options.to, database), datetime.now(UTC))
    return _published(options, item, "0026", _FIRMWARE)


def _publish_keys(options: argparse.Namespace) -> int:
    from device_sdk_simulators.packages.addresses import address_for

    with opened_database(options) as database:
        item = publish_keys.publish(options, database, address_for(options.to, database), datetime.now(UTC))
    return _published(options, item, "0024", "symmetrickeys")


def _publish_tamp(options: argparse.Namespace) -> int:
    from device_sdk_simulators.packages.addresses import address_for

    with opened_database(options) as database:
        item, kind = publish_tamp.publish(options, database, address_for(options.to, database), datetime.now(UTC))
    return _published(options, item, kind, _TAMP)


def _published(options: argparse.Namespace, item: str, kind: str, operation: str) -> int:
    place = f"{operation}/{item}"
    say(json.dumps({"item": item, "type": kind, "place": place}) if options.json else f"published {place}")
    return 0


def _content(options: argparse.Namespace) -> tuple[str, str, str, bytes]:
    """Operation, type, media type and content of what lies on the shelf as it is."""
    if options.kind != _GENERATED:
        return *_TYPES[options.kind], _peers(options.file)
    form = str(options.file)
    if form not in _FORMS:
        raise SimulatorError(f"{form} is no form of a generated key: one of {', '.join(_FORMS)}")
    operation = "fullcmc" if options.by_cmc else "serverkeygen"
    return operation, _FORMS[form], "", b""  # made when it is asked for


def _peers(path: Path) -> bytes:
    """A certs-only message of the end entities' certificates; those of CAs, which chains have, come by /cacerts."""
    from cryptography import x509

    from device_sdk_simulators.est.cms import certs_only

    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError as error:
        raise SimulatorError(f"{path}: no PEM certificates") from error
    peers = [one for one in found if not _is_ca(one)]
    if not peers:
        raise SimulatorError(f"{path}: certificates of CAs only; devices get those by /cacerts")
    return certs_only(peers)


def _is_ca(certificate: x509.Certificate) -> bool:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _withdraw(options: argparse.Namespace) -> int:
    from device_sdk_simulators.packages.firmware.shelf import FirmwareShelf
    from device_sdk_simulators.packages.shelf import Shelf

    with opened_database(options) as database:
        gone = Shelf(database).withdraw(options.item.rpartition("/")[2])
        FirmwareShelf(database).sweep()
    if not gone:
        complain(f"no package {options.item}; `packages` shows those there are")
        return 1
    say(f"withdrawn {options.item}")
    return 0


def _list(options: argparse.Namespace) -> int:
    from device_sdk_simulators.packages.firmware.shelf import NO_ITEM, FirmwareShelf
    from device_sdk_simulators.packages.key_returns import GENERATED, KeyReturns
    from device_sdk_simulators.packages.shelf import Shelf
    from device_sdk_simulators.packages.tamp.book import TampBook

    with opened_database(options) as database:
        reports, returns = FirmwareShelf(database).overview(), KeyReturns(database).overview()
        answers = TampBook(database).overview()
        reports |= TampBook(database).reports()
        none = dict.fromkeys(("report", "report_of", "reported_at"))
        rows = [row | none | reports.get((row["item"], row["sent_to"]), {}) for row in Shelf(database).overview()]
        # an error that names no package is about one of those that were sent
        nameless = [{"sent_by": sent_by, **one} for (item, sent_by), one in reports.items() if item == NO_ITEM]
    if options.json:
        returned = [*returns, *answers]
        by_item = {row["item"]: [one for one in returned if one["item"] == row["item"]] for row in rows}
        listed = [row | ({"returned": by_item[row["item"]]} if by_item[row["item"]] else {}) for row in rows]
        # a key that was generated for one request lies on no shelf, and what was said of it counts all the same
        made = {str(one["item"]): one for one in returns if str(one["item"]).startswith(GENERATED)}
        listed += [
            {"operation": "serverkeygen", "item": item, "returned": [one for one in returns if one["item"] == item]}
            for item in made
        ]
        listed += [{"operation": "firmware", "item": None, **one} for one in nameless]
        say(json.dumps(listed))
        return 0
    lines = [f"packages: {len(rows)}", *table_of(rows)]
    lines += [f"receipts and errors for keys: {len(returns)}", *table_of(returns)] if returns else []
    lines += [f"errors about firmware without a name: {len(nameless)}", *table_of(nameless)] if nameless else []
    if answers:
        told = [one | {"statuses": ", ".join(map(str, one["statuses"])), "holds": ""} for one in answers]
        lines += [f"answers about trust anchors: {len(told)}", *table_of(told)]
    say("\n".join(lines))
    return 0
