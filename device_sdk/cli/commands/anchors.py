"""`device-sdk anchors`: whom this device believes about its trust anchors, firmware and keys (RFC 5934)."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from device_sdk.cli.files import read_file
from device_sdk.cli.output import Output, one_line
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.client.device.importing import NameGiven
    from device_sdk.wire.tamp.anchors import TrustAnchor

ROLES = ("apex", "management", "identity")


def add_arguments(parser: argparse.ArgumentParser, _name: str, common: argparse.ArgumentParser) -> None:
    """Describe the verbs."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, words, run in (
        ("import", "say who may manage trust anchors, firmware and keys of this device", _import),
        ("list", "show the trust anchors, what each is for, and what this device is called", _list),
        ("export", "print the anchors of a role as certificates, for other commands and programs", _export),
        ("remove", "take an anchor away by hand; messages do it otherwise", _remove),
    ):
        verb = verbs.add_parser(name, help=words, description=words[:1].upper() + words[1:] + ".", parents=[common])
        add_settings(verb, "state_dir")
        verb.set_defaults(run=run)
        if name == "import":
            _add_import(verb)
        elif name == "export":
            verb.add_argument(
                "--role", choices=ROLES, required=True, help="which; identity: all that are trusted for servers"
            )
            verb.add_argument("--out", metavar="FILE", help="write them here instead of stdout")
        elif name == "remove":
            verb.add_argument("key_id", metavar="KEYID", help="its key identifier, hex, as `list` shows it")


def _add_import(verb: argparse.ArgumentParser) -> None:
    add = verb.add_argument
    add(
        "files",
        metavar="FILE",
        nargs="*",
        help="certificates (PEM or DER), or DER of a TrustAnchorInfo or TrustAnchorList",
    )
    add(
        "--role",
        choices=ROLES,
        default="management",
        help="apex: everything, and there is one; management: messages, firmware, packages of keys, as far as its content "
        "constraints (RFC 6010) say; identity: servers and peers (default: %(default)s)",
    )
    add("--hw-type", metavar="OID", help="type of this hardware module, as messages name it")
    add("--hw-serial", metavar="HEX", help="its serial number")
    add("--uri", metavar="URI", action="append", help="a name of this device; may be given more than once")
    add(
        "--community",
        metavar="OID",
        action="append",
        help="a community it is in from the start; may be given more than once",
    )


def _import(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.client.device.importing import import_anchors
    from device_sdk.client.device.managed import described
    from device_sdk.protocols.tamp import Role
    from device_sdk.state import StateDirectory

    name = _name(options)
    if not options.files and name is None:
        raise ConfigurationError("there is nothing to import", hint="give FILE, or what this device is called")
    anchors = [anchor for path in options.files for anchor in _anchors(path)]
    state, role = StateDirectory(settings.require("state_dir")), Role(options.role)
    with state.exclusive():
        from device_sdk.client.device.importing import NameGiven

        new = import_anchors(state, anchors, role, name or NameGiven())
    for one in new:
        if role is Role.MANAGEMENT and not one.constrained:
            out.say(f"note: nothing limits what {one.anchor.key_id.hex()} may sign (no content constraints, RFC 6010)")
    data = {"imported": [described(one) for one in new]}
    out.data(data, "\n".join(_line(one) for one in data["imported"]) or "nothing new")
    return 0


def _anchors(path: str) -> list[TrustAnchor]:
    from cryptography.hazmat.primitives.serialization import Encoding

    from device_sdk.cli.pem import certificates_from
    from device_sdk.client.device.importing import read_trust_anchor, read_trust_anchors

    content = read_file(path)
    if content[:1] in (b"\xa1", b"\xa2"):
        return [read_trust_anchor(content, path)]
    if listed := read_trust_anchors(content, path):
        return list(listed)
    return [read_trust_anchor(one.public_bytes(Encoding.DER), path) for one in certificates_from(content, path)]


def _name(options: argparse.Namespace) -> NameGiven | None:
    from device_sdk.client.device.importing import NameGiven

    try:
        serial = None if options.hw_serial is None else bytes.fromhex(options.hw_serial)
    except ValueError:
        raise ConfigurationError("--hw-serial: not hex digits") from None
    uris, communities = options.uri and tuple(options.uri), options.community and tuple(options.community)
    name = NameGiven(options.hw_type, serial, uris, communities)
    return None if name == NameGiven() else name


def _list(_options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.client.device.managed import described
    from device_sdk.state import StateDirectory

    state = StateDirectory(settings.require("state_dir"))
    loaded = state.load()
    store = state.managed.load()
    whole = store.with_explicit(state.own_anchors(loaded.anchors)) if loaded.anchors else store
    data: dict[str, Any] = {
        "anchors": [described(one) for one in whole.anchors],
        "hw_type": store.name.hw_type,
        "hw_serial": None if store.name.serial is None else store.name.serial.hex(),
        "uris": list(store.name.uris),
        "communities": list(store.communities),
        "generation": store.generation,
    }
    out.data(data, "\n".join(_line(one) for one in data["anchors"]) or "no trust anchors")
    return 0


def _export(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.cli.delivery import deliver
    from device_sdk.cli.files import OutputFile
    from device_sdk.cli.pem import describe, pem_of
    from device_sdk.protocols.tamp import Role
    from device_sdk.state import StateDirectory

    state, role = StateDirectory(settings.require("state_dir")), Role(options.role)
    anchors = state.load().anchors
    found = state.managed.load().certificates(role)
    if role is Role.IDENTITY and anchors:
        found = state.anchors(anchors)
    with OutputFile(options.out) as file:
        return deliver(file, pem_of(found), {"anchors": [describe(one) for one in found]}, out)


def _remove(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.client.device.importing import forget_anchor
    from device_sdk.client.device.managed import described
    from device_sdk.state import StateDirectory

    try:
        key_id = bytes.fromhex(options.key_id)
    except ValueError:
        raise ConfigurationError("KEYID: not hex digits") from None
    state = StateDirectory(settings.require("state_dir"))
    with state.exclusive():
        gone = forget_anchor(state, key_id)
    data = {"removed": [described(one) for one in gone]}
    out.data(data, "\n".join(f"removed {_line(one)}" for one in data["removed"]))
    return 0


def _line(one: dict[str, Any]) -> str:
    name = one["name"] or one["title"] or "without a name"
    number = "" if one["number"] is None else f"  number {one['number']}"
    origin = "" if one["managed"] else "  of the EST service"
    return one_line(f"{one['role']:10}  {one['key_id']}  {one['form']}  {name}{number}{origin}")
