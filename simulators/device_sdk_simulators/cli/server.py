"""`device-sdk-sim server`: the reference server until it is told to stop."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk_simulators.cli import (
    demands,
    full_cmc,
    guesses,
    modules,
    policy_file,
    publish,
    queue,
    registration_authority,
    rollover,
    server_key,
    srp,
    tamp,
    users,
)
from device_sdk_simulators.cli import option_types as types
from device_sdk_simulators.cli.option_files import read_anchors, read_documents, read_password
from device_sdk_simulators.cli.speaking import UsageError, say

if TYPE_CHECKING:
    from device_sdk_simulators.policy import Policy
    from device_sdk_simulators.server import ReferenceServer


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command, and those that work on a server's state directory."""
    parser = commands.add_parser("server", help="the EST and CALE reference server")
    parser.add_argument("--state", type=Path, metavar="DIR", required=True, help="CA, database and log; reused")
    parser.add_argument(
        "--host", type=types.host, default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument("--port", type=types.port, default=0, help="0 picks a free one (default)")
    parser.add_argument(
        "--name", type=types.host, action="append", default=[], help="further name or address of the TLS certificate"
    )
    parser.add_argument("--user", type=types.user, help="a user that may enrol with a password")
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="that user's password, on the first line",
    )
    parser.add_argument("--json", action="store_true", help="describe the server as one JSON line when it is ready")
    srp.add_arguments(parser)
    full_cmc.add_arguments(parser)
    server_key.add_arguments(parser)
    _add_policy(parser)
    parser.set_defaults(run=run)
    queue.add_parsers(commands)
    rollover.add_parsers(commands)
    registration_authority.add_parsers(commands)
    srp.add_parsers(commands)
    demands.add_parsers(commands)
    publish.add_parsers(commands)
    tamp.add_parsers(commands)
    modules.add_parsers(commands)
    users.add_parsers(commands)
    guesses.add_parsers(commands)


def _add_policy(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("policy")
    group.add_argument(
        "--ca-key-type", choices=types.KEY_TYPES, default="ec-p256", help="of a new CA (default: %(default)s)"
    )
    group.add_argument("--tls-min", choices=("1.2", "1.3"), default="1.2")
    group.add_argument("--tls-max", choices=("1.2", "1.3"), default="1.3")
    group.add_argument("--client-anchors", type=Path, metavar="FILE", help="PEM: makers' CAs whose devices may enrol")
    group.add_argument("--label", action="append", default=[], type=types.label, help="a CA label to serve")
    group.add_argument(
        "--own-ca",
        action="append",
        default=[],
        type=types.label,
        metavar="LABEL",
        help="a CA label to serve with a CA of its own",
    )
    group.add_argument(
        "--dialect",
        choices=("rfc7030", "draft-04"),
        default="rfc7030",
        help="paths and bodies of RFC 7030 or of draft-ietf-pkix-est-04 (default: %(default)s)",
    )
    group.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="TOML: every other switch by its name in simulators/README.md; counts more than options",
    )
    group.add_argument("--require-approval", action="store_true", help="202 until somebody approves")
    group.add_argument(
        "--retry-after", type=types.delay, default=1, metavar="SECONDS", help="for 202 (default: %(default)s)"
    )
    for option, default, whose in (("--max-waiting", 1000, "in all"), ("--max-waiting-each", 100, "of one client")):
        group.add_argument(
            option,
            type=types.whole_number(1, 10**6),
            default=default,
            metavar="NUMBER",
            help=f"requests that may wait for approval, {whose} (default: %(default)s)",
        )
    group.add_argument(
        "--auth",
        type=types.choices("basic", "digest"),
        default="basic",
        metavar="SCHEMES",
        help="how passwords may be shown: basic, digest or basic,digest (default: %(default)s)",
    )
    group.add_argument(
        "--digest-algorithms",
        type=types.choices("SHA-256", "MD5"),
        default="SHA-256,MD5",
        metavar="NAMES",
        help="for digest, the preferred one first (default: %(default)s)",
    )
    group.add_argument("--require-password", action="store_true", help="want a password also beside a certificate")
    group.add_argument("--require-binding", action="store_true", help="refuse CSRs not bound to their TLS connection")
    group.add_argument(
        "--csrattr",
        type=types.object_identifier,
        action="append",
        metavar="OID",
        help="list this in /csrattrs, instead of macAddress",
    )
    demands.add_options(group)
    group.add_argument("--lifetime", type=types.duration, metavar="SECONDS", help="of issued certificates")
    group.add_argument("--cale-headers", choices=("draft", "draft-folded", "plain"), default="draft")
    group.add_argument("--cale-aead", action="store_true", help="AES-GCM where the TLS suite is an AEAD one")
    group.add_argument("--cale-hardened", action="store_true", help="RSA-OAEP, recipients named by key")
    group.add_argument(
        "--document",
        type=types.document,
        action="append",
        default=[],
        metavar="PATH=FILE",
        help="something to read by CALE",
    )
    group.add_argument(
        "--clock-offset", type=types.offset, default=0, metavar="SECONDS", help="how fast this server's clock is"
    )
    group.add_argument(
        "--fault",
        action="append",
        default=[],
        type=types.fault,
        metavar="NAME[=VALUE][*TIMES][@OPERATION]",
        help="misbehave",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    from device_sdk_simulators.ca.tls import TlsProfile
    from device_sdk_simulators.server import ReferenceServer

    if options.password_file is not None and options.user is None:
        raise UsageError("--password-file needs --user: whose password is it?")
    if options.tls_min > options.tls_max:
        raise UsageError(f"--tls-min {options.tls_min} is above --tls-max {options.tls_max}")
    documents = read_documents(options.document)
    cmc_secrets = full_cmc.read_secrets(options)
    wrapping_secrets = server_key.read_secrets(options)
    server = ReferenceServer(
        options.state,
        host=options.host,
        port=options.port,
        user=options.user,
        password=read_password(options.password_file) if options.password_file else None,
        ca_key_type=options.ca_key_type,
        policy=_policy(options),
        tls=TlsProfile(tuple(options.name), minimum=f"TLSv{options.tls_min}", maximum=f"TLSv{options.tls_max}"),
        srp=srp.settings(options),
    )
    server.cale.resource.documents.update(documents)
    _configure(server, options)
    full_cmc.configure(server, options, cmc_secrets)
    server_key.configure(server, options, wrapping_secrets)
    if options.policy is not None:
        # again: those before wrote what their options say
        policy_file.apply(server.policy, options.policy)
    with server:
        facts = server.describe()
        say(json.dumps(facts) if options.json else "\n".join(f"{k}: {v}" for k, v in facts.items()))
        options.stop.wait()
    return 0


def _configure(server: ReferenceServer, options: argparse.Namespace) -> None:
    for fault in options.fault:
        server.faults.parse(fault)
    if options.clock_offset:
        offset = timedelta(seconds=options.clock_offset)
        server.clock = lambda: datetime.now(UTC) + offset


def _policy(options: argparse.Namespace) -> Policy:
    from device_sdk_simulators.policy import Policy

    policy = Policy(
        require_approval=options.require_approval,
        retry_after_s=options.retry_after,
        max_waiting=options.max_waiting,
        max_waiting_each=options.max_waiting_each,
        http_auth=options.auth,
        digest_algorithms=options.digest_algorithms,
        require_password=options.require_password,
        require_binding=options.require_binding,
        labels=set(options.label),
        own_cas=set(options.own_ca),
        dialect=options.dialect,
        cale_headers=options.cale_headers,
        cale_aead=options.cale_aead,
        cale_hardened=options.cale_hardened,
    )
    demands.apply(policy, options)
    demands.require_labels(policy)
    if options.csrattr is not None:
        policy.csrattrs = options.csrattr
    if options.lifetime is not None:
        policy.lifetime = timedelta(seconds=options.lifetime)
    if options.client_anchors is not None:
        policy.third_party_anchors = read_anchors(options.client_anchors)
        policy.third_party_serials = None
    if options.policy is not None:
        policy_file.apply(policy, options.policy)
    return policy
