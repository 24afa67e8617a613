"""`device-sdk bench`: what a provisioning station has a device on its line do, one verb an operation.

With --json each verb prints one line on standard output: its result, or {"error": ...}. Data comes from a file as it is, or
from standard input (`-`) as base64 in lines of any length, up to an empty line or the end; several come one after the other,
and one that is empty is an empty line.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from device_sdk.cli.files import read_file
from device_sdk.cli.output import Output, one_line
from device_sdk.cli.settings import KEY_TYPES, Settings, add_settings
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.client.device.bench import DeviceBench

_MAX_INPUT_BYTES = 1024 * 1024
_STDIN = "-"


def add_arguments(parser: argparse.ArgumentParser, _name: str, common: argparse.ArgumentParser) -> None:
    """Describe the verbs."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, words, run in (
        ("facts", "say who this device is", _facts),
        ("configure", "write the configuration file and the trust anchors of the next enrolment", _configure),
        ("create-key", "make the key, or give the one that was made before", _create_key),
        ("request", "make a certificate signing request with that key", _request),
        ("install", "check the issued certificate and take it into use", _install),
        ("enrol", "enrol over this device's own network", _enrol),
        ("prove", "prove that this device has the key of its certificate", _prove),
    ):
        verb = verbs.add_parser(name, help=words, description=words[:1].upper() + words[1:] + ".", parents=[common])
        add_settings(verb, "state_dir", "key.pin_file", "key.pin_fd", "key.allow_imported", "certificates_dir")
        verb.set_defaults(run=run, mends_config=name in ("facts", "configure"))
        _ARGUMENTS.get(name, lambda _: None)(verb)


def _file(verb: argparse.ArgumentParser, option: str, words: str, *, required: bool = True) -> None:
    verb.add_argument(option, metavar="FILE|-", required=required, help=f"{words}; - reads base64 from standard input")


def _add_configure(verb: argparse.ArgumentParser) -> None:
    _file(verb, "--file", "the new configuration file, TOML")
    _file(verb, "--trust", "trust anchors, PEM", required=False)


def _add_create_key(verb: argparse.ArgumentParser) -> None:
    add_settings(verb, "key.uri", "key.type")
    verb.add_argument("--allow-file", action="store_true", help="a key file will do, if --key names one")
    verb.add_argument(
        "--again", action="store_true", help="enrol anew although there is a certificate of another key or server"
    )


def _add_request(verb: argparse.ArgumentParser) -> None:
    _file(verb, "--csrattrs", "what the server's /csrattrs answered", required=False)


def _add_install(verb: argparse.ArgumentParser) -> None:
    _file(verb, "--answer", "what the server's /simpleenroll answered")
    _file(verb, "--ca-certificates", "what its /cacerts answered")


def _add_prove(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--nonce", metavar="HEX", required=True, help="32 bytes of the station's choice")


_ARGUMENTS = {
    "configure": _add_configure,
    "create-key": _add_create_key,
    "request": _add_request,
    "install": _add_install,
    "prove": _add_prove,
}


def _facts(options: argparse.Namespace, _settings: Settings, out: Output) -> int:
    from device_sdk.client.bench.plain import facts_to_json

    with _bench(options, out) as device:
        return _answer(facts_to_json(device.facts()), out)


def _configure(options: argparse.Namespace, _settings: Settings, out: Output) -> int:
    config, anchors = _inputs(options.file, options.trust)
    with _bench(options, out) as device:
        device.configure(config, anchors)
    return _answer({"configured": True}, out)


def _create_key(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.client.bench.facts import KeyWish
    from device_sdk.client.bench.plain import key_to_json
    from device_sdk.model.keys import KeyType

    kind = KeyType(settings.text("key.type") or KEY_TYPES[0])
    wish = KeyWish(settings.require("key.uri"), kind, file_allowed=options.allow_file, again=options.again)
    with _bench(options, out) as device:
        return _answer(key_to_json(device.create_key(wish)), out)


def _request(options: argparse.Namespace, _settings: Settings, out: Output) -> int:
    (csrattrs,) = _inputs(options.csrattrs)
    with _bench(options, out) as device:
        return _answer({"csr": base64.b64encode(device.request(csrattrs)).decode("ascii")}, out)


def _install(options: argparse.Namespace, _settings: Settings, out: Output) -> int:
    answer, ca_certificates = _inputs(options.answer, options.ca_certificates)
    with _bench(options, out) as device:
        return _answer({"certificate_sha256": device.install(answer, ca_certificates).hex()}, out)


def _enrol(options: argparse.Namespace, _settings: Settings, out: Output) -> int:
    with _bench(options, out) as device:
        return _answer({"certificate_sha256": device.enrol().hex()}, out)


def _prove(options: argparse.Namespace, _settings: Settings, out: Output) -> int:
    from device_sdk.client.bench.plain import proof_to_json

    try:
        nonce = bytes.fromhex(options.nonce)
    except ValueError as error:
        raise ConfigurationError("--nonce: not hex digits") from error
    with _bench(options, out) as device:
        return _answer(proof_to_json(device.prove(nonce)), out)


@contextmanager
def _bench(options: argparse.Namespace, out: Output) -> Iterator[DeviceBench]:
    """The device, which asks nobody anything. Whoever has this shell may run programs anyway."""
    from device_sdk.cli.bench_configuration import FileConfiguration, nobody_there
    from device_sdk.client.device.bench import DeviceBench

    with nobody_there():
        yield DeviceBench(FileConfiguration(options, out), programs=True)


def _answer(data: dict[str, Any], out: Output) -> int:
    out.line(data, "\n".join(f"{name}: {one_line(str(value))}" for name, value in data.items()))
    return 0


def _inputs(*places: str | None) -> list[bytes]:
    """What the options name, in this order; b"" where nothing is named.

    Raises:
        ConfigurationError: a file cannot be read; standard input holds no base64, too much, or has ended before anything.
    """
    return [
        b"" if one is None else _from_stdin() if one == _STDIN else read_file(one, limit_bytes=_MAX_INPUT_BYTES)
        for one in places
    ]


def _from_stdin() -> bytes:
    text = bytearray()
    while sys.stdin is not None:
        line = sys.stdin.buffer.readline(_MAX_INPUT_BYTES)
        if not line and not text:
            break
        if not line.strip():
            return _decoded(bytes(text))
        text += line.strip()
        if len(text) > 2 * _MAX_INPUT_BYTES:
            raise ConfigurationError(f"standard input holds more than {_MAX_INPUT_BYTES} bytes of data")
    # whoever was to send it has gone: it is not known to be empty
    raise ConfigurationError("standard input ended before anything came", hint="an empty line says that it is empty")


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError("standard input is not base64", hint="send it in lines, then an empty one") from error
