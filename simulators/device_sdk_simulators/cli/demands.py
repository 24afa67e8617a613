"""`device-sdk-sim server`: the options about what requests have to look like; and `one-time-password`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_sdk_simulators.cli.queue import opened_database
from device_sdk_simulators.cli.speaking import UsageError, say

if TYPE_CHECKING:
    from device_sdk_simulators.csr_demand import Demand
    from device_sdk_simulators.policy import Policy

_MAX_BYTES = 256 * 1024
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
        policy.demands = _read(options.demands)


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


def _read(path: Path) -> list[Demand]:
    """A JSON list of objects with the fields of Demand; values of extensions are DER in hex."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES} bytes")
        return [_demand(entry) for entry in json.loads(text)]
    except OSError as error:
        raise UsageError(f"--demands {path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(f"--demands {path} is no list of demands: {error}") from error


def _demand(entry: dict[str, Any]) -> Demand:
    from device_sdk_simulators.csr_demand import Demand, DemandedExtension

    extensions = tuple(
        DemandedExtension(
            str(one["oid"]), bool(one.get("critical", False)), bytes.fromhex(one["value"]) if "value" in one else None
        )
        for one in entry.pop("extensions", [])
    )
    subject = tuple((str(oid), None if text is None else str(text)) for oid, text in entry.pop("subject", []))
    attributes = tuple(str(oid) for oid in entry.pop("attributes", []))
    return Demand(**entry, extensions=extensions, subject=subject, attributes=attributes)
