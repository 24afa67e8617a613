"""What `--offline-out` and `--offline-in` mean for every operation: two ways instead of a connection, and no more."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

from device_sdk.cli import inputs
from device_sdk.cli.certificate_less import SRP
from device_sdk.cli.offline import enrolment, full_cmc, information, server_key
from device_sdk.cli.output import Output
from device_sdk.cli.settings import BY_NAME, Settings, Source
from device_sdk.cli.waiting import WAITING
from device_sdk.errors import ConfigurationError

Run: TypeAlias = Callable[[argparse.Namespace, Settings, Output], int]

_WAYS: dict[str, tuple[Run, Run]] = {
    "cacerts": (information.write_cacerts, information.read_cacerts),
    "csrattrs": (information.write_csrattrs, information.read_csrattrs),
    "enroll": (enrolment.write_enrolment, enrolment.read_enrolment),
    "reenroll": (enrolment.write_renewal, enrolment.read_renewal),
    "serverkeygen": (server_key.write_server_key, server_key.read_server_key),
    "fullcmc": (full_cmc.write_message, full_cmc.read_message),
}
_CONNECTION = (
    *inputs.LOGIN,
    *(name for name in inputs.COMPATIBILITY if name != "est.dialect"),
    *WAITING,
    *SRP,
    "est.timeout_s",
    "est.proxy",
)


def add_offline(operation: argparse.ArgumentParser, name: str, online: Run) -> None:
    """Give an operation its flags, and what is done if one of them is there."""
    write, read = _WAYS[name]
    ways = operation.add_mutually_exclusive_group()
    ways.add_argument("--offline-out", metavar="FILE", help="write the request to this file instead of sending it")
    ways.add_argument(
        "--offline-in", metavar="FILE", help="read the answer from this file: as curl -i saves it, or its body"
    )
    if name == "serverkeygen":
        operation.add_argument(
            "--allow-other-name",
            action="store_true",
            help="with --offline-in: take a certificate with other names than were asked for, which may be of another request",
        )
    if name not in ("cacerts", "csrattrs"):
        operation.add_argument(
            "--csrattrs",
            metavar="FILE",
            help="with --offline-*: the answer to est csrattrs --offline-out, to be followed",
        )

    def run(options: argparse.Namespace, settings: Settings, out: Output) -> int:
        if not (options.offline_out or options.offline_in):
            _refuse_file(options)
            return online(options, settings, out)
        _refuse_dash(options)
        _refuse_connecting(name, options, settings)
        return (write if options.offline_out else read)(options, settings, out)

    operation.set_defaults(run=run)


def _refuse_dash(options: argparse.Namespace) -> None:
    for flag, value, stream in (
        ("--offline-out", options.offline_out, "/dev/stdout"),
        ("--offline-in", options.offline_in, "/dev/stdin"),
    ):
        if value == "-":
            raise ConfigurationError(f"{flag} names a file, and - is none", hint=f"give {stream} if that is meant")


def _refuse_file(options: argparse.Namespace) -> None:
    if getattr(options, "allow_other_name", False):
        raise ConfigurationError(
            "--allow-other-name goes with --offline-in; online other names are told", hint="leave it out"
        )
    if getattr(options, "csrattrs", None):
        raise ConfigurationError(
            "--csrattrs goes with --offline-out and --offline-in; over the network the server is asked",
            hint="leave it out",
        )


def _refuse_connecting(name: str, options: argparse.Namespace, settings: Settings) -> None:
    """What is about a connection would be ignored in silence, a password above all; configurations may have it."""
    given = [BY_NAME[one].flag for one in _CONNECTION if settings.source(one) is Source.FLAG]
    # of Full CMC it signs the message
    given += ["--tls-cert"] if name != "fullcmc" and getattr(options, "tls_cert", None) else []
    if given:
        raise ConfigurationError(
            f"{given[0]} is for a connection, and there is none: whoever carries the request connects and authenticates",
            hint="leave it out",
        )
