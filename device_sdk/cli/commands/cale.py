"""`device-sdk cale`: register, get, whoami, list, forget, and decrypt a message from a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from device_sdk.cli import inputs
from device_sdk.cli.cale_inputs import STATE, TRUST, application, max_bytes, policy, state_directory, trust
from device_sdk.cli.commands.cale_register import add_register_arguments, forget, list_registrations, register
from device_sdk.cli.files import OutputFile, read_file
from device_sdk.cli.output import Output
from device_sdk.cli.pem import describe, pem_of
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.errors import ResponseTooLargeError

if TYPE_CHECKING:
    from device_sdk.client.cale import CaleClient


def add_arguments(parser: argparse.ArgumentParser, _name: str, common: argparse.ArgumentParser) -> None:
    """Describe the operations."""
    operations = parser.add_subparsers(dest="operation", required=True, metavar="OPERATION")
    for name, run, words in (
        ("register", register, "register a key for an application, or a new one with --again"),
        ("get", _get, "read one resource and decrypt the answer"),
        ("whoami", _whoami, "the certificate the authorization server has for this registration"),
        ("list", list_registrations, "the registrations of this device, and what was interrupted"),
        ("forget", forget, "give a registration up; a key that was made for it is destroyed"),
        ("decrypt", _decrypt, "decrypt one message, PEM, DER or base64; nothing is written if it does not open"),
    ):
        description = words[:1].upper() + words[1:] + "."
        operation = operations.add_parser(name, help=words, description=description, parents=[common])
        operation.set_defaults(run=run)
        _add_details(operation, name)


def _add_details(operation: argparse.ArgumentParser, name: str) -> None:
    if name == "decrypt":
        add_settings(
            operation, "cale.key", "key.pin_file", "key.pin_fd", "key.allow_imported", "certificates_dir", "cale.policy"
        )
        operation.add_argument("--in", dest="message", metavar="FILE", required=True, help="the message")
    elif name == "list":
        add_settings(operation, "state_dir")
    else:
        add_settings(operation, *STATE, *(() if name == "forget" else TRUST))
    if name == "register":
        add_register_arguments(operation)
    if name in ("get", "whoami"):
        add_settings(operation, "cale.policy")
    if name == "get":
        add_settings(operation, "cale.max_bytes", "cale.encrypted_errors")
        operation.add_argument("path", metavar="PATH", help="/resource?query")
    if name in ("get", "decrypt"):
        words = "fail unless the plaintext is JSON or text; without this one decoy in 256 opens to garbage (CALE-09)"
        operation.add_argument("--expect", choices=("json", "text"), help=words)
    if name in ("get", "whoami", "decrypt"):
        operation.add_argument("--out", metavar="FILE", help="write the result here instead of stdout")


@contextmanager
def _client(settings: Settings) -> Iterator[CaleClient]:
    """A client for the registration the settings name."""
    owner = application(settings)
    owner.registration  # noqa: B018  # that there is none is said before anything about trust
    anchors = trust(settings, state_directory(settings))
    timeouts, proxy = inputs.timeouts(settings), settings.text("est.proxy")
    options = {"policy": policy(settings), "encrypted_errors": settings.switch("cale.encrypted_errors")}
    with owner.client(anchors, timeouts=timeouts, proxy=proxy, **options) as client:
        yield client


def _get(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out, mode=0o600))
        client = opened.enter_context(_client(settings))
        try:
            found = client.get(options.path, check=_check(options), limit_bytes=max_bytes(settings))
        except ResponseTooLargeError as error:
            error.hint = "--max-bytes N allows more"
            raise
        file.write(found.content)
    if out.as_json:
        said = {"media_type": found.media_type, "headers": dict(found.headers), "file": options.out}
        out.data(_as_data(found.content) | said, "")
    elif not options.out:
        out.content(found.content)
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
        client = opened.enter_context(_client(settings))
        certificate = client.whoami()
        pem = pem_of([certificate])
        file.write(pem)
    if out.as_json or not options.out:
        data = {"certificate": describe(certificate), "pem": pem.decode(), "guid": client.guid, "file": options.out}
        out.data(data, pem.decode())
    return 0


def _decrypt(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.client.cale.files import MAX_FILE_BYTES, decrypt_document
    from device_sdk.protocols.cale.behind import behind_edge

    uri, message = settings.require("cale.key"), read_file(options.message, limit_bytes=MAX_FILE_BYTES)
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out, mode=0o600))
        key = inputs.open_key(uri, settings, opened)
        found = decrypt_document(message, key, check=_check(options), policy=policy(settings))
        file.write(found.content)
    if not options.out and not out.as_json:
        out.content(found.content)
    in_file = {"file": options.out, "size_bytes": len(found.content)}
    data = in_file if options.out else _as_data(found.content) | in_file
    if found.whole:
        headers = dict(found.headers)
        data = data | {"status": found.status, "media_type": headers.get("content-type"), "headers": headers}
    if found.is_error:
        # it is written all the same: whoever decrypts a message wants to see what is in it
        error = behind_edge(found.status, options.message, dict(found.headers).get("location"))
        out.error(error, data)
        return error.exit_code
    if out.as_json:
        out.data(data, "")
    return 0
