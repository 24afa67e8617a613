"""`device-sdk-sim cale`: the CALE roles as processes of their own."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_sdk_simulators.cli import option_types as types
from device_sdk_simulators.cli.cale_options import ALL, OPTIONS
from device_sdk_simulators.cli.option_files import read_anchors, read_documents, read_password
from device_sdk_simulators.cli.speaking import UsageError, complain, say

if TYPE_CHECKING:
    from device_sdk_simulators.cale.role_server import RoleServer
    from device_sdk_simulators.cale.roles import EdgeSettings, RolePlace
    from device_sdk_simulators.policy import Policy

_ORGANIZATION = "reference.example"
_COPIES = 5
"""Of an answer while it is made, at most."""
_MIB = 1024 * 1024
_WORDS = {
    "edge": "the edge device: open to everybody, ends TLS",
    "authz": "the authorization server: keeps CSRs, makes a certificate for each request",
    "origin": "the origination server: makes answers, and encrypts them",
    "resource": "the resource server: has the data",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the commands."""
    parser = commands.add_parser("cale", help="the roles of CALE, each in a process of its own")
    roles = parser.add_subparsers(dest="role", required=True, metavar="ROLE")
    for role in ALL:
        one = roles.add_parser(role, help=_WORDS[role])
        _add_place(one, "state of the role; reused")
        for option in OPTIONS:
            if role in option.parsed_by:
                one.add_argument(option.flag, **option.settings)
        one.add_argument("--until-end-of-input", action="store_true", help=argparse.SUPPRESS)
        one.set_defaults(run=_run_role)
    whole = roles.add_parser("all", help="all four, with certificates for each other")
    _add_place(whole, "one directory below it for each role; reused")
    for option in OPTIONS:
        if option.handed_on:
            whole.add_argument(option.flag, **_as_text(option.settings))
    whole.set_defaults(run=_run_all)
    pki = roles.add_parser("pki", help="certificates for roles on several machines")
    pki.add_argument("--state", type=Path, metavar="DIR", required=True, help="one directory below it for each role")
    pki.add_argument("--name", type=types.host, action="append", default=[], help="further name of the edge device")
    pki.set_defaults(run=_run_pki)


def _add_place(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--state", type=Path, metavar="DIR", required=True, help=text)
    parser.add_argument(
        "--host", type=types.host, default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument("--port", type=types.port, default=0, help="0 picks a free one (default)")
    parser.add_argument("--json", action="store_true", help="describe it as one JSON line when it is ready")


def _as_text(settings: dict[str, Any]) -> dict[str, Any]:
    """The same option, checked now and handed on as it was written."""
    read: Callable[[str], object] | None = settings.get("type")
    if read is None:
        return settings

    def check(text: str) -> str:
        read(text)
        # a file is somewhere else for nobody
        return str(Path(text).absolute()) if read is Path else text

    # handed on is what was given: what a role takes otherwise stays its own affair, and is what the help shows
    words = settings["help"].replace("%(default)s", str(settings.get("default")))
    return settings | {"type": check, "default": [] if settings.get("action") else None, "help": words}


def _run_role(options: argparse.Namespace) -> int:
    builders = {"edge": _edge, "authz": _authz, "origin": _origin, "resource": _resource}
    if options.until_end_of_input:
        threading.Thread(target=_follow_input, daemon=True).start()
    with builders[options.role](options) as server:
        _say(server.describe(), options)
        options.stop.wait()
    return 0


def _follow_input() -> None:
    """Who started this process holds its standard input open, and however that one ends, it is closed then."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _run_all(options: argparse.Namespace) -> int:
    from device_sdk_simulators.cale.processes import Installation

    # what is wrong with them is said before anything is made, once, and not by the role and by us
    _documents([types.document(one) for one in options.document])
    words: dict[str, list[str]] = {role: [] for role in ALL}
    for option in OPTIONS:
        if option.handed_on:
            for role in option.roles:
                words[role] += _written(option.flag, getattr(options, option.name))
    words["edge"] += ["--host", options.host, "--port", str(options.port)]
    with Installation(options.state, words, names=[options.host]) as installation:
        installation.watch(lambda role, code: complain(UsageError(f"the {role} role ended with code {code}")))
        _say(installation.describe(), options)
        options.stop.wait()
    return 0


def _written(flag: str, value: object) -> list[str]:
    """An option as words of a command line."""
    if value is True:
        return [flag]
    values = value if isinstance(value, list) else [] if value in (None, False) else [value]
    return [word for one in values for word in (flag, str(one))]


def _run_pki(options: argparse.Namespace) -> int:
    from device_sdk_simulators.cale.pki import make_pki

    options.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    say(json.dumps(make_pki(options.state, datetime.now(UTC), public_names=options.name)))
    return 0


def _say(facts: Mapping[str, object], options: argparse.Namespace) -> None:
    say(json.dumps(facts) if options.json else "\n".join(f"{name}: {value}" for name, value in facts.items()))


def _place(options: argparse.Namespace) -> RolePlace:
    from device_sdk_simulators.cale.pki import KeyFiles
    from device_sdk_simulators.cale.roles import RolePlace

    usual = KeyFiles.below(options.state / "hop")
    files = KeyFiles(
        options.hop_certificate or usual.certificate, options.hop_key or usual.key, options.hop_anchors or usual.anchors
    )
    offset = timedelta(seconds=options.clock_offset)
    return RolePlace(
        options.state,
        options.host,
        options.port,
        tuple(getattr(options, "peer", ())),
        files,
        getattr(options, "hop_timeout", 5),
        lambda: datetime.now(UTC) + offset,
    )


def _authz(options: argparse.Namespace) -> RoleServer:
    from device_sdk_simulators.cale.roles import authorization_role

    return authorization_role(_place(options), _policy(options), options.organization or _ORGANIZATION)


def _origin(options: argparse.Namespace) -> RoleServer:
    from device_sdk_simulators.cale.roles import Remote, origination_role

    if not options.resource:
        raise UsageError("--resource is missing: an origination server has nothing of its own to say")
    resources = [(below, Remote(*one)) for below, one in options.resource]
    return origination_role(
        _place(options), _policy(options), options.issuer or options.state / "issuer.pem", resources
    )


def _resource(options: argparse.Namespace) -> RoleServer:
    from device_sdk_simulators.cale.roles import resource_role

    documents = _documents(options.document)
    return resource_role(_place(options), _policy(options), options.issuer or options.state / "issuer.pem", documents)


def _documents(named: list[tuple[str, Path]]) -> dict[str, bytes]:
    from device_sdk_simulators.cale.resource import LARGEST_DOCUMENT

    return read_documents(named, LARGEST_DOCUMENT)


def _edge(options: argparse.Namespace) -> RoleServer:
    from device_sdk_simulators.cale.roles import edge_role

    if bool(options.origin) == bool(options.upstream):
        raise UsageError("an edge device needs --origin or --upstream, one of them")
    for option in OPTIONS:
        # a rule that nobody goes by must not look like one
        elsewhere = option.inside.removeprefix("--")
        if elsewhere and getattr(options, elsewhere) and getattr(options, option.name):
            raise UsageError(f"{option.flag} is for the server that {option.inside} names: give it there")
    policy = _policy(options)
    needed = options.max_body * _COPIES
    if options.upstream and needed > policy.cale.memory:
        # it would wait for a moment in which nobody else has an answer, and that may never come
        raise UsageError(
            f"--max-body {options.max_body}: an answer takes {_COPIES} times its length while it is made; take --memory "
            f"{-(-needed // _MIB)} or more, several times that for several of them at one time"
        )
    try:
        return edge_role(_place(options), policy, _edge_settings(options))
    except ValueError as error:
        raise UsageError(str(error)) from error


def _edge_settings(options: argparse.Namespace) -> EdgeSettings:
    from device_sdk_simulators.cale.pki import KeyFiles
    from device_sdk_simulators.cale.roles import EdgeSettings, Remote

    if options.password_file is not None and options.user is None:
        raise UsageError("--password-file needs --user: whose password is it?")
    if (options.certificate is None) != (options.key is None):
        raise UsageError("--certificate and --key go together")
    if options.client_crl is not None and options.client_anchors is None:
        raise UsageError("--client-crl needs --client-anchors: whose revocation lists are they?")
    anchors = read_anchors(options.client_anchors) if options.client_anchors else []
    return EdgeSettings(
        authorization=Remote(*options.authz) if options.authz else None,
        origination=Remote(*options.origin) if options.origin else None,
        upstream=options.upstream or "",
        owner_header=options.owner_header,
        public=KeyFiles(options.certificate, options.key, options.certificate) if options.certificate else None,
        names=tuple(options.name),
        user=options.user,
        password=read_password(options.password_file) if options.password_file else None,
        tokens=_read_tokens(options.token_file) if options.token_file else {},
        client_anchors=anchors,
        client_lists=options.client_crl,
        issuer=options.issuer,
        body_bytes=options.max_body,
        organization=options.organization or _ORGANIZATION,
    )


def _read_tokens(path: Path) -> dict[str, str]:
    """Owners by token, from lines of NAME TOKEN; UsageError."""
    try:
        lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise UsageError(f"--token-file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--token-file {path} is not UTF-8") from error
    if any(len(words) != 2 for words in lines):
        raise UsageError(f"--token-file {path}: not every line is NAME TOKEN")
    return {token: name for name, token in lines}


def _policy(options: argparse.Namespace) -> Policy:
    from device_sdk_simulators.cale.rules import CaleRules
    from device_sdk_simulators.policy import Policy

    given = vars(options)
    rules = CaleRules()
    policy = Policy(cale=rules)
    for name, attribute in _RULES.items():
        if name in given:
            setattr(rules, attribute, given[name])
    for name in ("cale_headers", "cale_aead", "cale_hardened"):
        if name in given:
            setattr(policy, name, given[name])
    for name, attribute in (("backdate", "backdate"), ("clock_skew", "clock_skew")):
        if name in given:
            setattr(rules, attribute, timedelta(seconds=given[name]))
    rules.memory = given.get("memory", 256) * _MIB
    policy.cale_certificate_lifetime = timedelta(seconds=given.get("certificate_lifetime", 10))
    rules.max_lifetime = max(rules.max_lifetime, policy.cale_certificate_lifetime + rules.backdate)
    _collect(rules, given)
    if given.get("draft_exact"):
        policy.cale_headers, policy.cale_aead, policy.cale_hardened = "draft-folded", False, False
        rules.decoys, rules.padding, rules.slot_s, rules.inside = "draft", 0, 0.0, "draft"
    return policy


_RULES = {
    "replay": "replay",
    "decoys": "decoys",
    "pad_to": "padding",
    "slot": "slot_s",
    "late": "late",
    "inside": "inside",
    "certificate_header": "certificate_header",
    "rate": "rate",
    "rate_answer": "rate_answer",
    "on_failure": "on_failure",
    "max_registrations": "registrations",
}


def _collect(rules: Any, given: Mapping[str, Any]) -> None:
    """Options that may be given several times."""
    rules.suites = tuple(given.get("suite") or ()) or rules.suites
    rules.scopes = dict(given.get("scope") or ())
    rules.methods = tuple(given.get("allow_method") or ())
    rules.forward = tuple(given.get("forward") or ())
    rules.strangers_like = tuple(given.get("strangers_like") or ())
    grants: dict[str, tuple[str, ...]] = {}
    for owner, scope in given.get("grant") or ():
        grants[owner] = (*grants.get(owner, ()), scope)
    rules.grants = rules.grants | grants
