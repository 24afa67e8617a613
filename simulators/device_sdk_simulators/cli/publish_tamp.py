"""`device-sdk-sim publish tamp`: a message about trust anchors (RFC 5934)."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_sdk_simulators.cli import option_types as types
from device_sdk_simulators.softhsm import SimulatorError

if TYPE_CHECKING:
    from cryptography import x509

    from device_sdk_simulators.database import Database
    from device_sdk_simulators.packages.firmware.notes import Serials
    from device_sdk_simulators.packages.tamp.authority import Signer, TampAuthority
    from device_sdk_simulators.packages.tamp.messages import Change
    from device_sdk_simulators.packages.tamp.publishing import Draft

MESSAGES = ("query", "update", "apex-update", "community-update", "sequence-adjust")
_LARGEST, _LONGEST_TITLE = 2**63 - 1, 64
FORMS = ("certificate", "tbs", "info")


class _Ordered(argparse.Action):
    """Updates are done in the order they are in, so options keep theirs."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        action = str(option_string).removeprefix("--")
        namespace.changes = [*(namespace.changes or []), (action, values)]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe what messages about trust anchors need beyond other packages."""
    group = parser.add_argument_group(
        "tamp",
        "FILE is the message: " + ", ".join(MESSAGES) + ". ANCHOR is a name that `tamp list` shows, or a file, PEM.",
    )
    add = group.add_argument
    add(
        "--by",
        metavar="ANCHOR",
        help="who signs (default: the apex that the device has after what was published for it)",
    )
    add("--by-path", action="store_true", help="with a certificate below it, which goes along")
    add("--contingency", action="store_true", help="apex-update: signed with the second key of the apex")
    add(
        "--contingency-again",
        action="store_true",
        help="apex-update --contingency: even if the new apex has the key that signs, so that anybody may repeat the message",
    )
    add("--terse", action="store_true", help="ask for a short answer")
    for name, what in (("add", "comes"), ("remove", "goes"), ("change", "changes: it is as the certificate says now")):
        add(
            f"--{name}",
            metavar="ANCHOR",
            action=_Ordered,
            dest="changes",
            help=f"update: an anchor {what}; in this order",
        )
    add("--form", choices=FORMS, default="info", help="of the anchors in it (default: %(default)s)")
    add("--title", metavar="TEXT", default="", help="of the anchors in it, if the form is info")
    add(
        "--anchor-number",
        metavar="ANCHOR=N",
        action="append",
        default=[],
        help="update: its sequence number from now on",
    )
    add("--new-apex", metavar="ANCHOR", help="apex-update: default: one that is made for it")
    add(
        "--apex-number",
        metavar="N",
        type=types.whole_number(0, _LARGEST),
        help="apex-update: its sequence number from now on",
    )
    add("--clear-anchors", action="store_true", help="apex-update: all others go")
    add("--clear-communities", action="store_true", help="apex-update: all communities are left")
    add(
        "--join",
        metavar="OID",
        type=types.object_identifier,
        action="append",
        help="community-update: may be given more than once",
    )
    add(
        "--leave",
        metavar="OID",
        type=types.object_identifier,
        action="append",
        help="community-update: may be given more than once",
    )
    add("--leave-all", action="store_true", help="community-update: whichever there are")
    add("--uri", metavar="URI", help="name of the trust anchor store it is for; see --hw-type and --community, too")
    add("--other-name", metavar="OID=HEX", help="a name of another kind; the value is DER")
    add(
        "--number",
        metavar="N",
        type=types.whole_number(0, _LARGEST),
        help="sequence number (default: the signer's next one)",
    )


def publish(options: argparse.Namespace, database: Database, address: str, now: datetime) -> tuple[str, str]:
    """Make the message and put it on the shelf; its item name and its type on package lists.

    Raises:
        SimulatorError: options that make no message.
    """
    from device_sdk_simulators.packages.tamp.authority import APEX, TampAuthority
    from device_sdk_simulators.packages.tamp.book import TampBook
    from device_sdk_simulators.packages.tamp.publishing import Delivery
    from device_sdk_simulators.packages.tamp.publishing import publish as put

    message = str(options.file)
    if len(options.title) > _LONGEST_TITLE:
        raise SimulatorError(f"--title: {_LONGEST_TITLE} characters at most (RFC 5914 section 2.4)")
    if message not in MESSAGES:
        raise SimulatorError(f"{message}: messages about trust anchors are {', '.join(MESSAGES)}")
    authority = TampAuthority(options.state, now)
    options.by = options.by or TampBook(database).apex_of(address) or APEX
    draft = _draft(message, options, authority)
    delivery = Delivery(address, options.label or "", now)
    item, _number = put(database, draft, _signer(options, authority, message), delivery, number=options.number)
    return item, draft.kind.entry


def _signer(options: argparse.Namespace, authority: TampAuthority, message: str) -> Signer:
    if options.contingency and message != "apex-update":
        raise SimulatorError("--contingency: that key signs apex updates only (RFC 5934 section 1.2.1)")
    if options.contingency:
        return authority.contingency_signer(options.by)
    return authority.signer(options.by, by_path=options.by_path)


def _draft(message: str, options: argparse.Namespace, authority: TampAuthority) -> Draft:
    from device_sdk_simulators.packages.tamp import kinds, messages
    from device_sdk_simulators.packages.tamp.publishing import Draft

    target, terse = _target(options), options.terse
    if message == "query":
        return Draft(kinds.QUERY, lambda ref: messages.status_query(ref, terse=terse), target, updates=0)
    if message == "sequence-adjust":
        return Draft(kinds.SEQUENCE_ADJUST, messages.sequence_adjust, target)
    if message == "update":
        changes = [_change(action, name, options, authority) for action, name in options.changes or []]
        numbers = [_first_number(text, authority) for text in options.anchor_number]
        if not changes:
            raise SimulatorError("an update has --add, --remove or --change")
        return Draft(
            kinds.UPDATE,
            lambda ref: messages.update(ref, changes, terse=terse, numbers=numbers),
            target,
            updates=len(changes),
            numbers=tuple(numbers),
        )
    if message == "community-update":
        leave = [] if options.leave_all else options.leave
        if leave is None and options.join is None:
            raise SimulatorError("a community update has --join, --leave or --leave-all")
        return Draft(
            kinds.COMMUNITY_UPDATE,
            lambda ref: messages.community_update(ref, remove=leave, add=options.join, terse=terse),
            target,
        )
    return _apex_draft(options, authority, target)


def _apex_draft(options: argparse.Namespace, authority: TampAuthority, target: Any) -> Draft:
    from device_sdk_simulators.packages.tamp import anchors, kinds, messages
    from device_sdk_simulators.packages.tamp.publishing import Draft

    name = options.new_apex or authority.next_apex()
    certificate = _certificate(name, authority)
    if options.contingency and not options.contingency_again:
        _require_used_up(certificate, name, authority.authority(options.by).root.certificate)
    brings = name if name in authority.names() else ""
    new = messages.NewApex(
        anchors.anchor(certificate, options.form, title=options.title),
        options.clear_anchors,
        options.clear_communities,
        options.apex_number,
    )
    number = options.apex_number
    return Draft(
        kinds.APEX_UPDATE,
        lambda ref: messages.apex_update(ref, new, terse=options.terse),
        target,
        brings=brings,
        numbers=() if number is None else (messages.first_number(certificate, number),),
    )


def _require_used_up(new: x509.Certificate, name: str, old: x509.Certificate) -> None:
    """Messages of a contingency key have no numbers, so it signs one (RFC 5934 section 6)."""
    from device_sdk_simulators.packages.tamp.contingency import locked_key

    if locked_key(new) is not None and locked_key(new) == locked_key(old):
        raise SimulatorError(
            f"--new-apex {name}: it has the contingency key that signs, and whoever saw the message could repeat it:"
            " another apex, or --contingency-again to see what devices do"
        )


def _change(action: Any, name: str, options: argparse.Namespace, authority: TampAuthority) -> Change:
    from device_sdk_simulators.packages.tamp import anchors
    from device_sdk_simulators.packages.tamp.messages import Change, removed

    certificate = _certificate(name, authority)
    if action == "remove":
        return removed(certificate)
    if action == "add":
        return Change("add", anchors.anchor(certificate, options.form, title=options.title))
    if options.form == "certificate":
        raise SimulatorError("an anchor that came as a certificate does not change (RFC 5934 section 4.3): --form")
    if options.form == "tbs":
        return Change("change", anchors.changed_certificate(certificate))
    return Change("change", anchors.changed_info(certificate, title=options.title))


def _first_number(text: str, authority: TampAuthority) -> tuple[bytes, int]:
    from device_sdk_simulators.packages.tamp.messages import first_number

    name, _, number = text.rpartition("=")
    try:
        value = types.whole_number(0, _LARGEST)(number)
    except argparse.ArgumentTypeError as error:
        raise SimulatorError(f"--anchor-number {text}: not ANCHOR=N: {error}") from error
    return first_number(_certificate(name, authority), value)


def _certificate(name: str, authority: TampAuthority) -> x509.Certificate:
    from cryptography import x509

    if name in authority.names():
        return authority.authority(name).root.certificate
    try:
        return x509.load_pem_x509_certificate(Path(name).read_bytes())
    except (OSError, ValueError) as error:
        known = ", ".join(authority.names())
        raise SimulatorError(f"{name}: neither a trust anchor ({known}) nor a certificate, PEM: {error}") from error


def _der(text: str) -> bytes:
    value = bytes.fromhex(text)
    if not value:
        raise ValueError("nothing behind the =")
    return value


def _target(options: argparse.Namespace) -> Any:
    from device_sdk_simulators.cli.publish_firmware import serials
    from device_sdk_simulators.packages.tamp import targets

    if options.hw_type:
        first, *others = options.hw_type
        numbers: list[Serials] = [serials(one) for one in options.hw_serial] or [None]
        return targets.modules([(first, numbers), *((one, [None]) for one in others)])
    if options.community:
        return targets.communities(options.community)
    if options.uri:
        if not options.uri.isascii():
            raise SimulatorError(f"--uri {options.uri}: a URI is ASCII (RFC 3986)")
        return targets.uri(options.uri)
    if options.other_name:
        oid, _, value = options.other_name.partition("=")
        try:
            return targets.other_name(types.object_identifier(oid), _der(value))
        except (argparse.ArgumentTypeError, ValueError) as error:
            raise SimulatorError(f"--other-name {options.other_name}: not OID=HEX: {error}") from error
    return targets.all_modules()
