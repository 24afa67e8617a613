"""`device-sdk-sim server`: the reference server until it is told to stop."""

from __future__ import annotations

import argparse
import json
import signal
from pathlib import Path

from device_sdk_simulators.server import ReferenceServer


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser("server", help="the EST and CALE reference server")
    parser.add_argument("--state", type=Path, metavar="DIR", required=True, help="CA, database and log; reused")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one (default)")
    parser.add_argument("--name", action="append", default=[], help="further name or address of the TLS certificate")
    parser.add_argument("--user", help="a user that may enrol with a password")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="that user's password, on the first line")
    parser.add_argument("--json", action="store_true", help="describe the server as one JSON line when it is ready")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    password = options.password_file.read_text().split("\n")[0].rstrip("\r") if options.password_file else None
    with ReferenceServer(
        options.state,
        host=options.host,
        port=options.port,
        names=options.name,
        user=options.user,
        password=password,
    ) as server:
        facts = server.describe()
        print(json.dumps(facts) if options.json else "\n".join(f"{k}: {v}" for k, v in facts.items()), flush=True)
        while True:
            signal.pause()
