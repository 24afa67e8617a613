"""`device-sdk agent`: what a provisioning station talks to on a serial line (docs/serial-protocol.md)."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from device_sdk.cli.output import Output
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.client.agent import Desk
    from device_sdk.transports.serial import Line

_STDIO_IDLE_S = 60
_BOUNDS = {"baud": (50, 4_000_000), "idle": (1, 86_400), "receive": (96, 1024)}


def add_arguments(parser: argparse.ArgumentParser, _name: str, _common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--line", metavar="URL", help="serial line: /dev/ttyS1, or a URL of pyserial's")
    where.add_argument("--stdio", action="store_true", help="the terminal this is started in")
    parser.add_argument(
        "--baud", type=int, metavar="N", help="speed of the line (default: 115200; with --stdio as it is)"
    )
    parser.add_argument("--once", action="store_true", help="end when the station says goodbye; so does --stdio")
    parser.add_argument(
        "--idle",
        type=int,
        metavar="SECONDS",
        help="end when no station was heard for so long (default: never; with --stdio 60)",
    )
    parser.add_argument(
        "--receive",
        type=int,
        metavar="N",
        default=256,
        help="the largest payload of a frame that is taken; less for hardware that loses octets (default: 256)",
    )
    parser.add_argument(
        "--allow-enrolled",
        action="store_true",
        help="let a station provision this device again although it is enrolled",
    )
    add_settings(
        parser, "state_dir", "key.pin_file", "key.pin_fd", "key.allow_imported", "certificates_dir", "agent.commands"
    )
    parser.set_defaults(run=_run, mends_config=True)


def _run(options: argparse.Namespace, _settings: Settings, out: Output) -> int:
    from device_sdk.cli.bench_configuration import nobody_there
    from device_sdk.client.agent import Agent

    for name, (least, most) in _BOUNDS.items():
        value = getattr(options, name)
        if value is not None and not least <= value <= most:
            raise ConfigurationError(f"--{name}: {value} is not from {least} to {most}")
    idle_s = options.idle or (_STDIO_IDLE_S if options.stdio else None)
    desk = _desk(options, out)
    # a terminal is left as it was found, whoever ends this
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    with nobody_there(), _line(options) as line:
        Agent(
            line,
            desk,
            baud=options.baud or 115200,
            receive=options.receive,
            once=options.once or options.stdio,
            idle_s=idle_s,
        ).run()
    return 0


def _line(options: argparse.Namespace) -> Line:
    if options.stdio:
        from device_sdk.transports.serial.stdio import open_stdio

        return open_stdio(options.baud)
    from device_sdk.transports.serial import LineSettings, open_line

    return open_line(options.line, LineSettings(baud=options.baud or 115200))


def _desk(options: argparse.Namespace, out: Output) -> Desk:
    from device_sdk.cli.bench_configuration import FileConfiguration
    from device_sdk.client.agent import AnswerBook, Desk
    from device_sdk.client.agent.device import AgentOperations
    from device_sdk.client.agent.standing import standing_of

    configuration = FileConfiguration(options, out)
    return Desk(
        AgentOperations(configuration),
        AnswerBook(configuration.known_state_dir),
        lambda: standing_of(configuration.known_state_dir()),
        allow_enrolled=options.allow_enrolled,
        commands=_commands(configuration.commands()),
    )


def _commands(allowed: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    try:
        return tuple(tuple(shlex.split(one)) for one in allowed)
    except ValueError as error:
        raise ConfigurationError(f"agent.commands: {error}", hint="words as in a shell, quotes closed") from error


def _stop(number: int, _frame: Any) -> NoReturn:
    sys.exit(128 + number)
