"""`device-sdk-sim guesses`: the wrong passwords, tokens and secrets a reference server counts; shown and forgotten.

It works on the state directory, whether the server runs or not.
"""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk_simulators.cli.queue import opened_database, table_of
from device_sdk_simulators.cli.speaking import UsageError, say
from device_sdk_simulators.softhsm import SimulatorError

if TYPE_CHECKING:
    from device_sdk_simulators.guess_memory import GuessMemory


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser("guesses", help="wrong passwords, tokens and secrets that a reference server counts")
    parser.add_argument("action", choices=("list", "forget"), help="forget: and end the pauses they cost")
    parser.add_argument("what", nargs="?", metavar="ADDRESS|NAME", help="for forget; all if not given")
    parser.add_argument("--json", action="store_true", help="for list: as one JSON object")
    parser.add_argument("--state", type=Path, metavar="DIR", required=True, help="the server's state directory")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from device_sdk_simulators.guess_memory import GuessMemory
    from device_sdk_simulators.guessing import PATIENCE

    if options.action == "list" and options.what is not None:
        raise UsageError("list has no address and no name")
    with opened_database(options) as database:
        memory = GuessMemory(database, lambda: datetime.now(UTC), PATIENCE)
        if options.action == "forget":
            return _forget(memory, options.what)
        counts = [asdict(count) for count in memory.counts()]
    if options.json:
        say(json.dumps({"guesses": counts}))
    else:
        say("\n".join([f"guesses: {len(counts)}", *table_of(counts)]))
    return 0


def _forget(memory: GuessMemory, what: str | None) -> int:
    from device_sdk_simulators.backoff import network_of
    from device_sdk_simulators.guessing import short_name

    if what is None:
        count = memory.forget()
    else:
        count = memory.forget(name=short_name(what))
        # what is no address is a name; a network as `list` shows it
        with suppress(ValueError):
            count += memory.forget(network_of(what.removesuffix("/64")))
        if not count:
            raise SimulatorError(f"nothing is counted for {what}")
    say(f"{count} forgotten")
    return 0
