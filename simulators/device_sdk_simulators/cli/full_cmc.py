"""Options of `device-sdk-sim server` for /fullcmc."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk_simulators.cli.option_files import read_password
from device_sdk_simulators.cli.speaking import UsageError

if TYPE_CHECKING:
    from device_sdk_simulators.server import ReferenceServer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    group = parser.add_argument_group("Full CMC (RFC 7030 section 4.3)")
    group.add_argument("--fullcmc", action="store_true", help="serve /fullcmc")
    group.add_argument("--fullcmc-confirm", action="store_true", help="let clients confirm their certificates")
    group.add_argument("--fullcmc-publish-anchors", action="store_true", help="send the roots along for acceptance")
    group.add_argument(
        "--fullcmc-secret",
        type=_secret,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a secret shared with a client, on the first line; NAME may be empty",
    )


def read_secrets(options: argparse.Namespace) -> dict[str, bytes]:
    """The shared secrets by their names, before anything is made; UsageError."""
    if not options.fullcmc and (options.fullcmc_confirm or options.fullcmc_publish_anchors or options.fullcmc_secret):
        raise UsageError("--fullcmc-confirm, --fullcmc-publish-anchors and --fullcmc-secret need --fullcmc")
    return {name: read_password(file, "--fullcmc-secret").encode() for name, file in options.fullcmc_secret}


def configure(server: ReferenceServer, options: argparse.Namespace, secrets: dict[str, bytes]) -> None:
    """Switch on what the options say."""
    server.policy.fullcmc_publish_anchors = options.fullcmc_publish_anchors
    server.policy.fullcmc, server.policy.fullcmc_confirm = options.fullcmc, options.fullcmc_confirm
    for name, secret in secrets.items():
        server.est.full_cmc.store.add_secret(name, secret)


def _secret(text: str) -> tuple[str, Path]:
    name, equals, file = text.partition("=")
    if not equals or not file:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE")
    return name, Path(file)
