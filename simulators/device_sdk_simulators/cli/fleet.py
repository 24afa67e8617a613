"""`device-sdk-sim fleet`: many simulated devices, on lines for a station, or enrolling all at once at a server."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk_simulators.cli.option_files import read_password
from device_sdk_simulators.cli.speaking import UsageError, say

if TYPE_CHECKING:
    from device_sdk_simulators.serial.fleet.plan import FleetPlan

_WAIT_S = 0.2


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser("fleet", help="many simulated devices on serial lines, or enrolling at a server")
    parser.add_argument("--devices", type=_count, default=8, help="how many (default: %(default)s)")
    parser.add_argument(
        "--lines", type=_count, help="how many lines (default: one a device); they take turns at a line"
    )
    parser.add_argument(
        "--way", choices=("agent", "console"), default="agent", help="what is on the lines (default: %(default)s)"
    )
    parser.add_argument("--keys", choices=("software", "softhsm", "swtpm"), default="software", help="where keys are (default: %(default)s)")  # fmt: skip
    parser.add_argument("--faults", type=_share, default=0.0, metavar="SHARE", help="share of devices that a misfortune befalls, 0 to 1")  # fmt: skip
    parser.add_argument("--misfortune", action="append", metavar="NAME", help="draw from these only; `help` lists them")
    parser.add_argument("--seed", type=int, default=0, help="what chance is made from (default: %(default)s)")
    parser.add_argument("--listen", default="tcp", metavar="DIR|tcp|rfc2217", help="ptys with names in this directory, TCP ports (default), or TCP ports as of terminal servers")  # fmt: skip
    parser.add_argument("--baud", type=_number, default=0, help="rate of the lines; 0: as fast as it goes (default)")
    parser.add_argument("--linger", type=_seconds, default=5.0, metavar="SECONDS", help="how long a device that was left unfinished stays (default: %(default)s)")  # fmt: skip
    parser.add_argument("--patience", type=_seconds, default=600.0, metavar="SECONDS", help="how long a device stays at most (default: %(default)s)")  # fmt: skip
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="what devices have from the factory to enrol with")  # fmt: skip
    parser.add_argument("--shell", choices=("busybox", "sh", "bash"), default="busybox", help="of consoles (default: %(default)s)")  # fmt: skip
    parser.add_argument("--boot-loader", action="store_true", help="consoles begin with a boot loader")
    parser.add_argument("--login", default="root", metavar="USER", help="who may log in at consoles (default: %(default)s)")  # fmt: skip
    parser.add_argument("--login-password-file", type=Path, metavar="FILE", help="with which password (default: none asked)")  # fmt: skip
    parser.add_argument("--device-sdk", type=Path, metavar="DIR", help="directory of a real device-sdk for consoles (default: simulated verbs)")  # fmt: skip
    parser.add_argument("--disks", type=Path, metavar="DIR", help="directory for the disks of consoles (default: temporary)")  # fmt: skip
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report here, not to standard output")
    parser.add_argument("--enrol", metavar="URL", help="no lines: the devices enrol at this EST server, and the rate is printed")  # fmt: skip
    parser.add_argument("--anchors", type=Path, metavar="FILE", help="PEM: trust anchors of that server")
    parser.add_argument("--user", default="device", help="user there (default: %(default)s)")
    parser.add_argument("--at-once", type=_count, default=8, metavar="N", help="devices that enrol at the same time (default: %(default)s)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="describe the lines as one JSON line when they are ready")
    parser.set_defaults(run=_run)


def _between(low: float, high: float, kind: Callable[[str], float], text: str) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {low:g} to {high:g}")
    return value


def _count(text: str) -> int:
    return int(_between(1, 100_000, int, text))


def _number(text: str) -> int:
    return int(_between(0, 4_000_000, int, text))


def _share(text: str) -> float:
    return _between(0, 1, float, text)


def _seconds(text: str) -> float:
    return _between(0, 86_400, float, text)


def _run(options: argparse.Namespace) -> int:
    if options.misfortune == ["help"]:
        from device_sdk_simulators.serial.fleet.plan import MISFORTUNES

        say("\n".join(f"{name}: {text}" for name, text in MISFORTUNES.items()))
        return 0
    return _load(options) if options.enrol else _lines(options)


def _plan(options: argparse.Namespace) -> FleetPlan:
    from device_sdk_simulators.serial.console.device import ConsoleStyle
    from device_sdk_simulators.serial.fleet.plan import FleetPlan

    plan = FleetPlan(
        devices=options.devices,
        lines=options.lines,
        way=options.way,
        keys=options.keys,
        faults=options.faults,
        seed=options.seed,
        listen=options.listen if options.listen in ("tcp", "rfc2217") else Path(options.listen),
        baud=options.baud,
        linger_s=options.linger,
        patience_s=options.patience,
        password=read_password(options.password_file) if options.password_file else None,
        console=ConsoleStyle(
            options.shell,
            options.boot_loader,
            options.login,
            read_password(options.login_password_file) if options.login_password_file else "",
            path=options.device_sdk.absolute() if options.device_sdk else None,
        ),
        disks=options.disks.absolute() if options.disks else None,
    )
    if options.misfortune:
        try:
            plan.misfortunes = tuple(options.misfortune)
            plan.__post_init__()
        except ValueError as error:
            raise UsageError(f"{error} (--misfortune help lists them)") from error
    return plan


def _lines(options: argparse.Namespace) -> int:
    from device_sdk_simulators.serial.fleet.fleet import Fleet

    with Fleet(_plan(options)) as fleet:
        lines = fleet.lines()
        facts = {"lines": lines, "pid": os.getpid()}
        say(json.dumps(facts) if options.json else "\n".join(str(line["url"]) for line in lines))
        try:
            options.stop.ready()
            while not fleet.wait(_WAIT_S):
                pass
        finally:
            _report(fleet.report(), options)
    return 0


def _load(options: argparse.Namespace) -> int:
    from device_sdk_simulators.serial.fleet.load import load_server

    if options.anchors is None:
        raise UsageError("--enrol needs --anchors: whom are the devices to trust?")
    options.stop.ready()
    outcome = load_server(_plan(options), options.enrol, options.anchors.read_bytes(), options.user, options.at_once)
    _report(outcome, options)
    return 0 if not outcome["failed"] else 1


def _report(report: dict[str, object], options: argparse.Namespace) -> None:
    if options.report is not None:
        options.report.write_text(json.dumps(report, indent=1) + "\n")
    else:
        say(json.dumps(report))
