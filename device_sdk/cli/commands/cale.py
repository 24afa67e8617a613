"""`device-sdk cale`: register, get, whoami, and decrypt a message from a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from device_sdk.cli import inputs
from device_sdk.cli.files import OutputFile, read_file
from device_sdk.cli.output import Output
from device_sdk.cli.pem import describe, pem_of
from device_sdk.cli.secrets import pin_provider
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.errors import ConfigurationError, EnvelopeError, StateError

if TYPE_CHECKING:
    from device_sdk.client.cale import CaleClient
    from device_sdk.model.csr import CsrSpec
    from device_sdk.model.trust import ServerTrust, TlsIdentity
    from device_sdk.state import StateDirectory

_STATE = ("state_dir", "cale.name", "key.pin_file", "key.pin_fd", "key.allow_imported")
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
        description = words[:1].upper() + words[1:] + "."
        operation = operations.add_parser(name, help=words, description=description, parents=[common])
        operation.set_defaults(run=run)
        _add_details(operation, name)


def _add_details(operation: argparse.ArgumentParser, name: str) -> None:
    if name == "decrypt":
        add_settings(operation, "cale.key", "key.pin_file", "key.pin_fd", "key.allow_imported")
        operation.add_argument("--in", dest="message", metavar="FILE", required=True, help="the message")
    else:
        add_settings(operation, *_STATE, *_TRUST)
    if name == "register":
        add_settings(operation, "cale.url", "cale.key", *inputs.LOGIN, *inputs.IDENTITY)
        return
    if name == "get":
        operation.add_argument("path", metavar="PATH", help="/resource?query")
    if name in ("get", "decrypt"):
        words = "fail unless the plaintext is JSON or text; without this one decoy in 256 opens to garbage (CALE-09)"
        operation.add_argument("--expect", choices=("json", "text"), help=words)
    operation.add_argument(
        "--out", metavar="FILE", required=name == "decrypt", help="write the result here instead of stdout"
    )


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
    state, url, name = _state(settings), settings.require("cale.url"), settings.require("cale.name")
    current = state.load().current
    uri = settings.text("cale.key") or (current.key_uri if current else None)
    if uri is None:
        raise ConfigurationError("no key to register", hint="give --key URI, or enrol first")
    # A name that cannot be kept should show before the server has made a registration of it.
    state.cale_registration(name)
    spec, credentials = _spec(settings, state), inputs.credentials(settings)
    with ExitStack() as opened:
        key = inputs.open_key(uri, settings, opened)
        identity = _proof(settings, opened) if credentials is None and current else None
        client = _client(settings, state, url, key, credentials=credentials, identity=identity)
        opened.enter_context(client)
        with state.exclusive():
            registration = client.register(spec, key_uri=key.info.uri)
            try:
                state.save_cale_registration(name, registration)
            except StateError as error:
                error.hint = f"the server has registered {registration.guid}; make room and register again"
                out.error(error, vars(registration))
                return error.exit_code
    out.data(vars(registration), f"registered as {registration.guid}")
    return 0


def _proof(settings: Settings, opened: ExitStack) -> TlsIdentity:
    """Without a password, the device's own certificate says who it is."""
    from device_sdk.client.device import Device

    identity = Device(
        settings.require("state_dir"),
        pin=pin_provider(settings),
        allow_imported=settings.switch("key.allow_imported"),
    ).tls_identity()
    key: Any = identity.key
    opened.enter_context(key)
    return identity


def _spec(settings: Settings, state: StateDirectory) -> CsrSpec:
    """What --subject says, or the subject of the current certificate."""
    from device_sdk.model.csr import CsrSpec

    chain = state.snapshot()[1]
    if settings.text("identity.subject") is None and not settings.list("identity.san") and chain:
        return CsrSpec(chain[0].subject)
    return inputs.csr_spec(settings)


def _registered(settings: Settings, opened: ExitStack) -> tuple[CaleClient, str]:
    """A client for the registration the settings name, and its GUID."""
    state, name = _state(settings), settings.require("cale.name")
    registration = state.cale_registration(name)
    if registration is None:
        raise ConfigurationError(f"{state.path}: no CALE registration named {name!r}", hint="device-sdk cale register")
    key = inputs.open_key(registration.key_uri, settings, opened)
    client = _client(settings, state, registration.origin, key, registration.guid)
    return opened.enter_context(client), registration.guid


def _get(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out, mode=0o600))
        content = _registered(settings, opened)[0].get(options.path, check=_check(options)).content
        file.write(content)
    if out.as_json:
        out.data(_as_data(content) | {"file": options.out}, "")
    elif not options.out:
        out.content(content)
    return 0


def _check(options: argparse.Namespace) -> Callable[[bytes], object] | None:
    import json

    checks: dict[str, Callable[[bytes], object]] = {"json": json.loads, "text": bytes.decode}
    return checks.get(options.expect)


def _as_data(content: bytes) -> dict[str, object]:
    from base64 import b64encode

    try:
        text: str | None = content.decode()
    except UnicodeDecodeError:
        text = None
    return {"text": text, "base64": b64encode(content).decode(), "size_bytes": len(content)}


def _whoami(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out))
        client, guid = _registered(settings, opened)
        certificate = client.whoami()
        pem = pem_of([certificate])
        file.write(pem)
    if out.as_json or not options.out:
        data = {"certificate": describe(certificate), "pem": pem.decode(), "guid": guid, "file": options.out}
        out.data(data, pem.decode())
    return 0


def _require_expected(content: bytes, options: argparse.Namespace) -> None:
    check = _check(options)
    try:
        if check:
            check(content)
    except ValueError:
        words = f"{options.message}: what the message opens to is not {options.expect}"
        raise EnvelopeError(words) from None  # the cause would quote the plaintext


def _decrypt(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.client.cale import decrypt
    from device_sdk.client.cale.files import MAX_FILE_BYTES

    uri, message = settings.require("cale.key"), read_file(options.message, limit_bytes=MAX_FILE_BYTES)
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out, mode=0o600))
        content = decrypt(message, inputs.open_key(uri, settings, opened))
        _require_expected(content, options)
        file.write(content)
    if out.as_json:
        out.data({"file": options.out, "size_bytes": len(content)}, "")
    return 0
