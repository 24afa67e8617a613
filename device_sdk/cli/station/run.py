"""`device-sdk provision run`: a profile, on every line."""

from __future__ import annotations

import argparse
import getpass
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_sdk.cli.output import Output, one_line
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.cli.station.ledger import place_to_make
from device_sdk.cli.station.telling import Telling
from device_sdk.errors import ConfigurationError, MissingDependencyError

if TYPE_CHECKING:
    from device_sdk.station.profile import Profile
    from device_sdk.station.run.events import EventStream, Observer
    from device_sdk.station.run.station import Station

_SOME_FAILED = 1
_INTERRUPTED = 130
_MAX_DEVICES = 1_000_000


def add_arguments(parser: argparse.ArgumentParser, _common: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add_settings(parser, "station.ledger", "station.directory", "station.name", "station.operator")
    parser.add_argument("profile", metavar="PROFILE", help="what is done to which devices, TOML (docs/provisioning.md)")
    parser.add_argument("--once", action="store_true", help="one device on each line that is there now, then end")
    parser.add_argument("--devices", metavar="N", type=int, help="end after so many devices")
    parser.add_argument(
        "--lines", metavar="LINE", nargs="+", help="these lines instead of the profile's: paths or URLs"
    )
    parser.add_argument("--plain", action="store_true", help="lines of text, as when the output is no terminal")
    parser.add_argument("--plan", "--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.station.profile import load_profile
    from device_sdk.transports.serial import check_line

    if options.devices is not None and not 0 < options.devices <= _MAX_DEVICES:
        raise ConfigurationError(f"--devices has to be 1 to {_MAX_DEVICES}")
    if options.once and options.devices is not None:
        raise ConfigurationError("--once and --devices do not go together")
    profile = load_profile(Path(options.profile))
    with suppress(MissingDependencyError) if options.plan else nullcontext():
        for line in options.lines or profile.lines.urls:
            check_line(line)
    if options.plan:
        return _plan(profile, options, out)
    from device_sdk.station.run.events import EventStream

    with _observer(options, out) as observer:
        code = _station(profile, options, settings, out, EventStream(observer))
    if code == 0 and isinstance(observer, Telling) and observer.wrong:
        raise ConfigurationError(observer.wrong, hint="the run came to its end; the ledger has what was not printed")
    return code


@contextmanager
def _observer(options: argparse.Namespace, out: Output) -> Iterator[Observer]:
    """Who tells the person: a picture of all lines in a terminal, lines of text or JSON elsewhere."""
    if out.as_json or options.plain or sys.stdout is None or not sys.stdout.isatty():
        telling = Telling(out)
        try:
            yield telling
        finally:
            telling.close()
        return
    from device_sdk.station.progress import Board, LiveProgress

    board = Board()
    with LiveProgress(board, sys.stdout):
        yield board


def _station(
    profile: Profile, options: argparse.Namespace, settings: Settings, out: Output, events: EventStream
) -> int:
    from contextlib import ExitStack

    from device_sdk.station.ledger import Ledger
    from device_sdk.station.run.connect import opener
    from device_sdk.station.run.relay import open_server
    from device_sdk.station.run.station import Limits, Station

    directory = Path(settings.require("station.directory"))
    profile.check_secrets()
    with ExitStack() as opened:
        server = open_server(profile)
        if server is not None:
            opened.callback(server.close)
        ledger = opened.enter_context(Ledger.open(place_to_make(settings)))
        station = Station(
            profile,
            ledger=ledger,
            directory=directory,
            events=events,
            opener=opener(profile),
            server=server,
            name=settings.text("station.name") or socket.gethostname() or "station",
            operator=settings.text("station.operator") or _user(),
            limits=Limits(
                lines=tuple(options.lines or ()),
                once=options.once or not (profile.lines.watch or options.devices),
                devices=options.devices,
            ),
        )
        with _terminated(station) as terminated:
            tally = station.run()
    if terminated:
        out.say("device-sdk: terminated")
        return _INTERRUPTED
    return _SOME_FAILED if tally.failed else 0


@contextmanager
def _terminated(station: Station) -> Iterator[list[int]]:
    """SIGTERM stops the station as Ctrl-C does; the list is not empty then."""
    seen: list[int] = []

    def stop(number: int, _frame: Any) -> None:
        seen.append(number)
        station.stop("terminated")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGTERM, before)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user of that number
        return "unknown"


def _plan(profile: Profile, options: argparse.Namespace, out: Output) -> int:
    from device_sdk.station.run.lines import present

    profile.check_secrets()
    anchors = len(profile.anchors())
    table = profile.lines
    lines = present(options.lines, ()) if options.lines else present(table.urls, table.globs)
    steps = [_step(profile, step) for step in profile.plan]
    data = {
        "profile": profile.name,
        "version": profile.version,
        "sha256": profile.sha256,
        "mode": profile.mode,
        "way": profile.talk.way,
        "lines": lines,
        "server": profile.est.url,
        "anchors": anchors,
        "steps": steps,
    }
    words = [
        f"profile {profile.name} {profile.version}: mode {profile.mode}, by {profile.talk.way} at {table.baud} baud"
    ]
    words += [f"server {profile.est.url}, {anchors} trust anchors"] if profile.est.url else []
    words += [f"lines: {', '.join(lines) or 'none is there'}", "steps:"]
    words += [f"  {one['step']} (at most {one['limit_s']:g} s){_command(one)}" for one in steps]
    out.data(data, "\n".join(map(one_line, words)))
    return 0


def _step(profile: Profile, step: str) -> dict[str, Any]:
    hook = profile.hook(step)
    found: dict[str, Any] = {"step": str(step), "limit_s": profile.limit_s(step)}
    return found | ({"on": hook.on, "command": list(hook.command)} if hook else {})


def _command(step: dict[str, Any]) -> str:
    return f": {' '.join(step['command'])} (on the {step['on']})" if "command" in step else ""
