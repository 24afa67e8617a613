"""`device-sdk-sim server`: the options about what requests have to look like; and `one-time-password`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk_simulators.cli.demand_file import read_demands
from device_sdk_simulators.cli.queue import opened_database
from device_sdk_simulators.cli.speaking import UsageError, say

if TYPE_CHECKING:
    from device_sdk_simulators.policy import Policy

_SWITCHES = {
    "accept_finished": "accept a Finished message as binding on TLS 1.3, as libest sends it",
    "pending_by_bytes": "know a request that waits by its bytes, not by who asks for which key",
    "require_otp": "refuse CSRs without a one-time password (RFC 7894); see one-time-password",
    "require_revocation_challenge": "refuse CSRs without a revocation password (RFC 7894)",
    "list_identity_linking": "list estIdentityLinking (RFC 7894) in /csrattrs",
    "csrattrs_login": "ask for a password before /csrattrs is answered",
}


def add_options(group: argparse._ArgumentGroup) -> None:
    """The options, for the policy of a server."""
    for name, words in _SWITCHES.items():
        group.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=words)
    group.add_argument(
        "--change-subject-name",
        choices=("no", "third-party", "any"),
        default="third-party",
        help="who may get another name by ChangeSubjectName (default: %(default)s)",
    )
    group.add_argument(
        "--demands", type=Path, metavar="FILE", help="JSON: what /csrattrs asks for, by label, user or device"
    )


def apply(policy: Policy, options: argparse.Namespace) -> None:
    """Put what the options say into the policy; UsageError for a file that is not what it should be."""
    for name in (*_SWITCHES, "change_subject_name"):
        setattr(policy, name, getattr(options, name))
    if options.demands is not None:
        policy.demands = read_demands(options.demands)


def require_labels(policy: Policy) -> None:
    """UsageError for a demand at a label that is not served: nobody would ever hear it."""
    for demand in policy.demands:
        if demand.label and demand.label not in policy.labels | policy.own_cas:
            raise UsageError(f"--demands: there is no label {demand.label!r}; serve it by --label or --own-ca")


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command that gives out one-time passwords."""
    parser = commands.add_parser(
        "one-time-password", help="make a password that lets one key into one request (RFC 7894)"
    )
    parser.add_argument("--state", type=Path, metavar="DIR", required=True, help="the server's state directory")
    parser.set_defaults(run=_one_time_password)


def _one_time_password(options: argparse.Namespace) -> int:
    from device_sdk_simulators.est.challenges import Challenges
    from device_sdk_simulators.policy import Policy

    with opened_database(options) as database:
        say(Challenges(database, Policy()).new_one_time_password())
    return 0
