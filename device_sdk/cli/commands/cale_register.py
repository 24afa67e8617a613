"""`device-sdk cale register|list|forget`: the registrations of the state directory."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from device_sdk.cli import inputs
from device_sdk.cli.cale_inputs import application, policy, spec, state_directory, trust
from device_sdk.cli.output import Output, plain
from device_sdk.cli.secrets import bearer, bearer_source, pin_provider
from device_sdk.cli.settings import Settings, Source, add_settings
from device_sdk.errors import ConfigurationError, StateCorruptError

if TYPE_CHECKING:
    from device_sdk.model.trust import TlsIdentity
    from device_sdk.state import StateDirectory

_PROOF = ("cale.proof", "cale.bearer_file", "cale.bearer_fd", *inputs.LOGIN)


def add_register_arguments(operation: argparse.ArgumentParser) -> None:
    """What only `register` has."""
    add_settings(
        operation, "cale.url", "cale.key", "cale.type", "cale.policy", "cale.negotiate", *_PROOF, *inputs.IDENTITY
    )
    operation.add_argument(
        "--tls-cert", metavar="FILE", help="certificate that proves the identity, if not the device's"
    )
    operation.add_argument("--tls-key", metavar="URI", help="the key of --tls-cert")
    operation.add_argument(
        "--again",
        action="store_true",
        help="replace the registration, with a new key beside the old one or another one that --key names; an old one that was "
        "made for it is destroyed",
    )


def register(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Register, or go on with what was interrupted. The GUID is shown with --json only."""
    from device_sdk.client.cale import CalePlan
    from device_sdk.model.keys import KeyType

    state, key_type = state_directory(settings), settings.text("cale.type")
    key_uri = _key_uri(settings, state, again=options.again)
    with ExitStack() as opened:
        plan = CalePlan(
            _url(settings, state, again=options.again),
            trust(settings, state),
            spec(settings, state, again=options.again),
            key_uri=key_uri,
            key_type=KeyType(key_type) if key_type else None,
            again=options.again,
            timeouts=inputs.timeouts(settings),
            proxy=settings.text("est.proxy"),
            policy=policy(settings),
            negotiate=settings.switch("cale.negotiate"),
            **_proof(options, settings, state, opened),
        )
        outcome = application(settings).register(plan)
    made, name, notes = outcome.registration, settings.require("cale.application"), outcome.notes
    if key_uri is None and settings.source("cale.key") is Source.FLAG:
        notes = (f"--again takes a new key where --key names the one that was registered: {made.key_uri}", *notes)
    for note in notes:
        out.say(f"note: {note}")
    data = vars(made) | {"application": name, "notes": notes}
    out.data(data, f"registered {name}: {made.origin}, key {made.key_uri}")
    return 0


def _url(settings: Settings, state: StateDirectory, *, again: bool) -> str:
    """What --url says; to register again, where the registration is."""
    if again and settings.text("cale.url") is None:
        with suppress(StateCorruptError):
            current = state.cale_registration(settings.require("cale.application"))
            if current is not None:
                return current.origin
    return settings.require("cale.url")


def _key_uri(settings: Settings, state: StateDirectory, *, again: bool) -> str | None:
    """What --key says; for a first registration the device's own key otherwise.

    What the environment or the configuration says is about the first key: it does not keep `--again` from making another, and
    nor does a flag that names the key in use.
    """
    from device_sdk.client.cale.registering import another_key

    name = settings.require("cale.application")
    try:
        replaced = state.cale_registration(name) if again else None
    except StateCorruptError as error:
        if settings.text("cale.key"):
            return settings.text("cale.key")
        words = f"no key to register, as the registration that is to be replaced does not say: {error.message}"
        raise ConfigurationError(words, hint="give --key URI, and --type TYPE for a new one") from error
    uri = settings.text("cale.key")
    if replaced is not None:
        return another_key(replaced, uri) if uri and settings.source("cale.key") is Source.FLAG else None
    current = state.load().current
    uri = uri or (current.key_uri if current else None)
    if uri is None:
        raise ConfigurationError("no key to register", hint="give --key URI, or enrol first")
    return uri


def _proof(options: argparse.Namespace, settings: Settings, state: StateDirectory, opened: ExitStack) -> dict[str, Any]:
    """The proof of identity as CalePlan takes it (CALE-02)."""
    kind = settings.text("cale.proof") or "auto"
    if kind == "auto":
        kind = _kind(options, settings, state)
    if kind == "password":
        return {"credentials": inputs.credentials(settings)}
    if kind == "bearer":
        return {"bearer": _token(settings)}
    return {"identity": _identity(options, settings, opened)} if kind == "certificate" else {}


def _kind(options: argparse.Namespace, settings: Settings, state: StateDirectory) -> str:
    """A certificate named by flag, then whichever of token and password is named nearer, then the device's certificate."""
    token = bearer_source(settings)
    user = max(settings.source(name) for name in inputs.LOGIN)
    if options.tls_cert or options.tls_key:
        return "certificate"
    if token is user is not Source.DEFAULT:
        raise ConfigurationError(
            "both a password and a bearer token are named",
            hint="say which one counts: --proof password or --proof bearer",
        )
    if token > user:
        return "bearer"
    if user is not Source.DEFAULT:
        return "password"
    return "certificate" if state.load().current else "none"


def _token(settings: Settings) -> Any:
    found = bearer(settings, ask=True)
    if not found:
        raise ConfigurationError(
            "no bearer token", hint="give --bearer-file or --bearer-fd, set DEVICE_SDK_BEARER, or run at a terminal"
        )
    return found


def _identity(options: argparse.Namespace, settings: Settings, opened: ExitStack) -> TlsIdentity:
    """--tls-cert and --tls-key, or the device's own certificate and key."""
    from device_sdk.client.device import Device

    if options.tls_cert or options.tls_key:
        if not (options.tls_cert and options.tls_key):
            raise ConfigurationError("--tls-cert and --tls-key go together")
        return inputs.tls_identity(options.tls_cert, options.tls_key, settings, opened)
    allow_imported = settings.switch("key.allow_imported")
    device = Device(settings.require("state_dir"), pin=pin_provider(settings), allow_imported=allow_imported)
    identity = device.tls_identity()
    key: Any = identity.key
    opened.enter_context(key)
    return identity


def list_registrations(_options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """What is registered, what is under way, and what cannot be read. GUIDs are shown with --json only."""
    state = state_directory(settings)
    found, begun, damaged = state.cale_registrations(), state.cale_journals(), state.cale_damage()
    lines = [
        f"{name}: {kept.origin}, key {kept.key_uri}, since {plain(kept.registered_at)}" for name, kept in found.items()
    ]
    lines += [
        f"{name}: interrupted since {plain(journal.since)}, key {journal.key_uri}: register again, or forget it"
        for name, journal in begun.items()
    ]
    lines += [f"{name}: damaged: {error}" for name, errors in damaged.items() for error in errors]
    data: dict[str, object] = {
        "registrations": {name: vars(kept) for name, kept in found.items()},
        "under_way": {
            name: {
                "origin": journal.origin,
                "key_uri": journal.key_uri,
                "since": journal.since,
                "phase": journal.phase.value,
            }
            for name, journal in begun.items()
        },
        "damaged": {name: [error.facts() for error in errors] for name, errors in damaged.items()},
    }
    out.data(data, "\n".join(lines))
    return 0


def forget(_options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Give a registration up."""
    done = application(settings).forget()
    for note in done.notes:
        out.say(f"note: {note}")
    out.data(vars(done), "\n".join(f"destroyed {uri}" for uri in done.destroyed) or "no key was destroyed")
    return 0
