"""`device-sdk cale`: register, get, whoami, and decrypt a message from a file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from device_sdk.cli import inputs
from device_sdk.cli.output import Output, read_file, write_file
from device_sdk.cli.pem import describe, pem_of
from device_sdk.cli.secrets import pin_provider
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.client.cale import CaleClient
    from device_sdk.model.trust import ServerTrust
    from device_sdk.state import StateDirectory

_STATE = ("state_dir", "cale.name", "cale.url", "key.pin_file", "key.pin_fd")
_TRUST = ("est.anchors", "est.implicit", "est.timeout_s", "est.proxy")


def add_arguments(parser: argparse.ArgumentParser, _name: str, common: argparse.ArgumentParser) -> None:
    """Describe the operations."""
    operations = parser.add_subparsers(dest="operation", required=True, metavar="OPERATION")
    for name, run, words in (
        ("register", _register, "register a key; its GUID goes into the state directory"),
        ("get", _get, "read one resource and decrypt the answer"),
        ("whoami", _whoami, "the certificate the authorization server has for this registration"),
        ("decrypt", _decrypt, "decrypt one message, PEM, DER or base64; nothing is written on failure"),
    ):
        operation = operations.add_parser(name, help=words, description=words.capitalize() + ".", parents=[common])
        operation.add_argument(
            "--out", metavar="FILE", required=name == "decrypt", help="write the result here instead of stdout"
        )
        operation.set_defaults(run=run)
        if name == "decrypt":
            add_settings(operation, "cale.key", "key.pin_file", "key.pin_fd")
            operation.add_argument("--in", dest="message", metavar="FILE", required=True, help="the message")
            continue
        add_settings(operation, *_STATE, *_TRUST)
        if name == "register":
            add_settings(operation, "cale.key", *inputs.LOGIN, *inputs.IDENTITY)
        if name == "get":
            operation.add_argument("path", metavar="PATH", help="/resource?query")


def _state(settings: Settings) -> StateDirectory:
    from device_sdk.state import StateDirectory

    return StateDirectory(settings.require("state_dir"))


def _trust(settings: Settings, state: StateDirectory) -> ServerTrust:
    """The anchors given, or those of the state directory."""
    from device_sdk.model.trust import ServerTrust

    explicit = inputs.anchors(settings)
    implicit = settings.switch("est.implicit")
    if not explicit and not implicit:
        explicit = state.snapshot()[2]
    if not explicit and not implicit:
        raise ConfigurationError("no trust anchors for the CALE server", hint="enrol first, or give --anchors FILE")
    return ServerTrust(explicit, implicit)


def _key(uri: str, settings: Settings) -> Any:
    """Every DeviceKey is also one of cryptography's keys, which no type says."""
    from device_sdk.keystores.registry import open_key

    return open_key(uri, pin=pin_provider(settings))


def _client(
    settings: Settings, state: StateDirectory, url: str, key: Any, guid: str | None = None, **more: Any
) -> CaleClient:
    from device_sdk.client.cale import CaleClient

    return CaleClient(
        url,
        _trust(settings, state),
        key,
        guid=guid,
        timeouts=inputs.timeouts(settings),
        proxy=settings.text("est.proxy"),
        **more,
    )


def _register(_options: argparse.Namespace, settings: Settings, out: Output) -> int:
    state = _state(settings)
    current = state.load().current
    uri = settings.text("cale.key") or (current.key_uri if current else None)
    if uri is None:
        raise ConfigurationError("no key to register", hint="give --key URI, or enrol first")
    credentials = inputs.credentials(settings)
    with (
        _key(uri, settings) as key,
        _client(settings, state, settings.require("cale.url"), key, credentials=credentials) as client,
    ):
        registration = client.register(_spec(settings, state), key_uri=key.info.uri)
    state.save_cale_registration(settings.require("cale.name"), registration)
    facts = vars(registration)
    out.data(facts, f"registered as {registration.guid}")
    return 0


def _spec(settings: Settings, state: StateDirectory) -> Any:
    """What --subject says, or the subject of the current certificate."""
    from device_sdk.model.csr import CsrSpec

    chain = state.snapshot()[1]
    if settings.text("identity.subject") is None and chain:
        return CsrSpec(chain[0].subject)
    return inputs.csr_spec(settings)


def _registered(settings: Settings, state: StateDirectory) -> Any:
    name = settings.require("cale.name")
    registration = state.cale_registration(name)
    if registration is None:
        raise ConfigurationError(f"{state.path}: no CALE registration named {name!r}", hint="device-sdk cale register")
    return registration


def _get(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    state = _state(settings)
    registration = _registered(settings, state)
    with (
        _key(registration.key_uri, settings) as key,
        _client(settings, state, registration.origin, key, registration.guid) as client,
    ):
        plain = client.get(options.path).content
    if options.out:
        write_file(options.out, plain, mode=0o600)
    if out.as_json or not options.out:
        _print(plain, options.out, out)
    return 0


def _print(plain: bytes, file: str | None, out: Output) -> None:
    if not out.as_json:
        import sys

        sys.stdout.buffer.write(plain)
        sys.stdout.flush()
        return
    from base64 import b64encode

    try:
        text: str | None = plain.decode()
    except UnicodeDecodeError:
        text = None
    out.data({"text": text, "base64": b64encode(plain).decode(), "size_bytes": len(plain), "file": file}, "")


def _whoami(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    state = _state(settings)
    registration = _registered(settings, state)
    with (
        _key(registration.key_uri, settings) as key,
        _client(settings, state, registration.origin, key, registration.guid) as client,
    ):
        certificate = client.whoami()
    pem = pem_of([certificate])
    if options.out:
        write_file(options.out, pem)
    out.data({"certificate": describe(certificate), "pem": pem.decode(), "guid": registration.guid}, pem.decode())
    return 0


def _decrypt(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.client.cale import decrypt

    message = read_file(options.message)
    with _key(settings.require("cale.key"), settings) as key:
        plain = decrypt(message, key)
    write_file(options.out, plain, mode=0o600)
    out.data(
        {"file": options.out, "size_bytes": len(plain)}, f"{len(plain)} bytes written to {options.out}"
    ) if out.as_json else None
    return 0
