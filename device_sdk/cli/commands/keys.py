"""`device-sdk keys`: create, list, show, delete, probe, and the certificate beside a key."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from device_sdk.cli.files import read_file, write_file
from device_sdk.cli.inputs import key_opened
from device_sdk.cli.output import Output
from device_sdk.cli.secrets import pin_provider
from device_sdk.cli.settings import KEY_TYPES, Settings, add_settings
from device_sdk.errors import KeyNotFoundError

if TYPE_CHECKING:
    from device_sdk.keystores.keys import DeviceKey
    from device_sdk.model.keys import KeyInfo

MAX_KEY_BYTES = 64 * 1024
"""The largest file a private key is read from."""


def add_arguments(parser: argparse.ArgumentParser, _name: str, common: argparse.ArgumentParser) -> None:
    """Describe the verbs."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, run, words in (
        ("create", _create, "generate a key inside the keystore and prove that it cannot leave"),
        ("import", _import, "put a private key that was made elsewhere into the keystore, from where it cannot leave"),
        ("list", _list, "every key that fits the URI"),
        ("show", _show, "one key, its attributes and its public half"),
        ("delete", _delete, "destroy one key and the certificate beside it"),
        ("probe", _probe, "try what this token or TPM really can do"),
        ("store-certificate", _store_certificate, "keep a certificate beside its key"),
        ("certificate", _certificate, "the certificate beside a key"),
    ):
        verb = verbs.add_parser(name, help=words, description=words[:1].upper() + words[1:] + ".", parents=[common])
        if name != "import":
            verb.add_argument("uri", metavar="URI", help="pkcs11:..., tpm2:... or file:...")
        add_settings(verb, "key.pin_file", "key.pin_fd", "certificates_dir")
        verb.set_defaults(run=run)
        if name == "import":
            _add_import(verb)
        if name == "show":
            add_settings(verb, "key.allow_imported")
        if name == "create":
            verb.add_argument(
                "--type",
                required=True,
                choices=KEY_TYPES,
                metavar="TYPE",
                help="what to generate: " + ", ".join(KEY_TYPES),
            )
            verb.add_argument("--reuse", action="store_true", help="open the key if one of that name and type is there")
        if name == "store-certificate":
            verb.add_argument("file", metavar="FILE", help="certificate, PEM or DER")
        if name == "certificate":
            verb.add_argument("--out", metavar="FILE", help="write PEM here instead of stdout")


def _add_import(verb: argparse.ArgumentParser) -> None:
    add_settings(verb, "key.uri", "import.passphrase_file", "import.passphrase_fd")
    verb.add_argument(
        "--in", dest="file", required=True, metavar="FILE", help="private key, PKCS#8 in PEM or DER, encrypted or not"
    )
    verb.add_argument("--reuse", action="store_true", help="open the key if this very one is there already")


def _line(info: KeyInfo) -> str:
    kind = info.key_type.value if info.key_type else "unknown"
    said = info.attributes
    if "secret" in said:
        kind = f"{said['secret']}, {said['bits']} bits, for {said['usages'] or 'nothing'}"
    where = "extractable" if info.extractable else "non-extractable"
    return f"{info.uri}\n    {kind}, {where}, {'hardware' if info.hardware else 'software'}" + (
        (", imported" if info.imported else "") + (", certificate stored" if info.certificate else "")
    )


def _describe(key: DeviceKey) -> dict[str, object]:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = key.public_key()  # type: ignore[attr-defined]  # every DeviceKey is also one of cryptography's keys
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return key.info.to_json() | {"public_key": pem}


def _create(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.keystores.registry import create_key

    with create_key(options.uri, options.type, reuse=options.reuse, pin=pin_provider(settings)) as key:
        out.data(_describe(key), key.info.uri)
    return 0


def _import(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.cli.private_keys import pkcs8_from
    from device_sdk.keystores.registry import import_key

    uri = settings.require("key.uri")
    pkcs8 = pkcs8_from(read_file(options.file, limit_bytes=MAX_KEY_BYTES), options.file, settings)
    with import_key(uri, pkcs8, reuse=options.reuse, pin=pin_provider(settings)) as key:
        out.say(
            "device-sdk: warning: this key existed outside of its keystore: whoever had it before may still have it; "
            f"remove {options.file} if nobody needs it"
        )
        out.data(_describe(key), key.info.uri)
    return 0


def _list(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.keystores.registry import list_keys

    found = list_keys(options.uri, pin=pin_provider(settings))
    if out.as_json or found:
        out.data({"keys": [info.to_json() for info in found]}, "\n".join(_line(info) for info in found))
    else:
        out.say("no key fits this URI")
    return 0


def _show(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.keystores.registry import holds_secret, open_secret

    if holds_secret(options.uri):
        open_secret(options.uri, pin=pin_provider(settings)).close()
        return _show_secret(options, settings, out)
    with key_opened(options.uri, settings) as key:
        facts = _describe(key)
        attributes = "\n".join(f"    {name}: {value}" for name, value in key.info.attributes.items())
        out.data(
            facts, f"{_line(key.info)}\n    SPKI SHA-256: {key.info.spki_sha256}\n{attributes}\n{facts['public_key']}"
        )
    return 0


def _show_secret(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """A symmetric key: what may be shown of it."""
    from device_sdk.keystores.registry import list_keys

    for info in list_keys(options.uri, pin=pin_provider(settings)):
        attributes = "\n".join(f"    {name}: {value}" for name, value in info.attributes.items())
        out.data(info.to_json(), f"{_line(info)}\n{attributes}")
    return 0


def _delete(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.keystores.registry import delete_key

    info = delete_key(options.uri, pin=pin_provider(settings))
    out.data({"deleted": info.to_json()}, f"deleted {info.uri}")
    return 0


def _probe(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.keystores.registry import probe

    result = probe(options.uri, pin=pin_provider(settings))
    lines = [f"{name}: {value}" for name, value in result.description.items()]
    lines.append("key types: " + ", ".join(kind.value for kind in result.key_types))
    lines += [f"  {'yes' if works else 'no ':3} {name}" for name, works in sorted(result.operations.items())]
    lines += [f"{name}: {value}" for name, value in result.limits.items()]
    lines += [f"warning: {warning}" for warning in result.warnings]
    out.data(result.to_json(), "\n".join(lines))
    return 0


def _store_certificate(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.cli.pem import certificates_from, describe
    from device_sdk.keystores.registry import store_certificate

    certificate = certificates_from(read_file(options.file), options.file)[0]
    store_certificate(options.uri, certificate, pin=pin_provider(settings))
    if out.as_json:
        out.data({"stored": describe(certificate)}, "")
    return 0


def _certificate(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.cli.pem import describe, pem_of
    from device_sdk.keystores.registry import load_certificate
    from device_sdk.wire.key_uri import parse_key_uri

    certificate = load_certificate(options.uri, pin=pin_provider(settings))
    if certificate is None:
        raise KeyNotFoundError(
            f"{parse_key_uri(options.uri)}: no certificate is stored beside this key",
            hint="device-sdk keys store-certificate",
        )
    pem = pem_of([certificate])
    if options.out:
        write_file(options.out, pem)
    if out.as_json or not options.out:
        data = {"certificate": describe(certificate), "pem": pem.decode(), "file": options.out}
        out.data(data, pem.decode())
    return 0
