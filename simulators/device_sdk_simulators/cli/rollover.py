"""`device-sdk-sim rollover|crl`: another key for a reference server's CA, and its revocation lists.

They work on the state directory, whether the server runs or not; a running server follows with its next connection.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk_simulators.cli import option_types as types
from device_sdk_simulators.cli.speaking import say
from device_sdk_simulators.softhsm import SimulatorError

if TYPE_CHECKING:
    from device_sdk_simulators.database import Database

KEY_TYPES = ("ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072", "rsa-4096")
STAGES = ("publish", "switch", "retire")


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the commands."""
    rolling = commands.add_parser("rollover", help="give a reference server's CA another key, step by step")
    rolling.add_argument(
        "--stage",
        choices=(*STAGES, "show"),
        default="publish",
        help="publish the new key, switch to it, retire the old one; or show where they are (default: %(default)s)",
    )
    rolling.add_argument(
        "--key-type", choices=KEY_TYPES, default="ec-p256", help="of the new keys, for publish (default: %(default)s)"
    )
    rolling.add_argument("--json", action="store_true", help="as one JSON object")
    rolling.set_defaults(run=_roll)
    listing = commands.add_parser("crl", help="revocation lists of a reference server's CA as PEM, one per CA key")
    listing.set_defaults(run=_crl)
    for parser in (rolling, listing):
        parser.add_argument("--state", type=Path, metavar="DIR", required=True, help="the server's state directory")
        parser.add_argument("--label", type=types.label, help="a label with a CA of its own; the main CA if not given")


@contextmanager
def in_state(options: argparse.Namespace) -> Iterator[tuple[Path, Database]]:
    """The directory of the CA that `--state` and `--label` name, and the server's database; SimulatorError if there is none."""
    from device_sdk_simulators.database import Database
    from device_sdk_simulators.est.sites import directory_of

    directory, file = directory_of(options.state, options.label or ""), options.state / "server.sqlite"
    if not file.exists():
        raise SimulatorError(f"{options.state} is not the state directory of a reference server")
    if not directory.exists():
        raise SimulatorError(f"{options.state}: the label {options.label!r} has no CA of its own")
    database = Database(file)
    try:
        yield directory, database
    except sqlite3.Error as error:
        raise SimulatorError(f"{file}: {error}") from error
    finally:
        database.close()


def now() -> datetime:
    """The present."""
    return datetime.now(UTC)


def _roll(options: argparse.Namespace) -> int:
    from device_sdk_simulators.ca.rollover import Rollover

    with in_state(options) as (directory, database):
        rollover = Rollover(directory, options.label or "", database, now)
        if options.stage == "publish":
            rollover.publish(options.key_type)
        elif options.stage == "switch":
            rollover.switch()
        elif options.stage == "retire":
            rollover.retire()
        stages = {number: stage.value for number, stage in rollover.stages.items()}
    if options.json:
        say(json.dumps({"label": options.label, "generations": stages}))
    else:
        say("\n".join(f"generation {number}: {stage}" for number, stage in stages.items()))
    return 0


def _crl(options: argparse.Namespace) -> int:
    from cryptography.hazmat.primitives.serialization import Encoding

    from device_sdk_simulators.ca.authority import load_hierarchy
    from device_sdk_simulators.ca.crl import revocation_lists
    from device_sdk_simulators.ca.stages import stages_of

    with in_state(options) as (directory, database):
        hierarchy = load_hierarchy(directory, stages_of(database, options.label or ""))
        lists = revocation_lists(hierarchy, database, options.label or "", now())
    say("".join(one.public_bytes(Encoding.PEM).decode() for one in lists).rstrip("\n"))
    return 0
