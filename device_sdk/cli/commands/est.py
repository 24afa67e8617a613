"""`device-sdk est`: cacerts, csrattrs, enroll and reenroll, one operation at a time and without a state directory."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from device_sdk.cli import inputs
from device_sdk.cli.output import Output, read_file, write_file
from device_sdk.cli.pem import certificates_from, describe, pem_of
from device_sdk.cli.secrets import pin_provider
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.client.est import Enrolled, EstClient
    from device_sdk.model.trust import ServerTrust, TlsIdentity

_KEY = ("key.uri", "key.pin_file", "key.pin_fd")


def add_arguments(parser: argparse.ArgumentParser, _name: str, common: argparse.ArgumentParser) -> None:
    """Describe the operations."""
    operations = parser.add_subparsers(dest="operation", required=True, metavar="OPERATION")
    for name, run, words in (
        ("cacerts", _cacerts, "fetch the CA certificates (RFC 7030 section 4.1)"),
        ("csrattrs", _csrattrs, "ask what the server wants in a request (section 4.5)"),
        ("enroll", _enroll, "get a certificate for --key (section 4.2.1)"),
        ("reenroll", _reenroll, "renew the certificate --cert, whose key is --key (section 4.2.2)"),
    ):
        operation = operations.add_parser(name, help=words, description=words.capitalize() + ".", parents=[common])
        add_settings(operation, *inputs.SERVER, *inputs.LOGIN)
        operation.add_argument("--out", metavar="FILE", help="write the result here instead of stdout")
        operation.set_defaults(run=run)
        if name == "enroll":
            add_settings(operation, *_KEY, *inputs.IDENTITY, "est.wait_s")
            operation.add_argument("--tls-cert", metavar="FILE", help="certificate for TLS, of a factory or another CA")
            operation.add_argument("--tls-key", metavar="URI", help="the key of --tls-cert")
        if name == "reenroll":
            add_settings(operation, *_KEY, "identity.mac", "est.wait_s")
            operation.add_argument(
                "--cert", metavar="FILE", required=True, help="the current certificate, with its chain"
            )
            operation.add_argument("--new-key", metavar="URI", help="certify this key instead of --key")


def trust(settings: Settings, out: Output) -> ServerTrust:
    """Whom to trust: --anchors, --implicit, or what bootstrap by --pin accepts.

    Raises:
        ConfigurationError: none of them, or pins together with the others.
    """
    from device_sdk.client.est import bootstrap
    from device_sdk.model.trust import ServerTrust

    explicit, pins = inputs.anchors(settings), inputs.pins(settings)
    implicit = settings.switch("est.implicit")
    if bool(pins) == bool(explicit or implicit):
        raise ConfigurationError("say whom to trust", hint="give --anchors FILE, --pin sha256:HEX or --implicit")
    if not pins:
        return ServerTrust(explicit, implicit)
    found = bootstrap(
        settings.require("est.url"),
        pins,
        label=settings.text("est.label"),
        timeouts=inputs.timeouts(settings),
        proxy=settings.text("est.proxy"),
    )
    out.progress("the CA certificate has the pinned fingerprint")
    return ServerTrust(found.anchors)


def _client(settings: Settings, out: Output, identity: TlsIdentity | None = None) -> EstClient:
    from device_sdk.client.est import EstClient

    return EstClient(
        settings.require("est.url"),
        trust(settings, out),
        label=settings.text("est.label"),
        identity=identity,
        credentials=inputs.credentials(settings),
        timeouts=inputs.timeouts(settings),
        proxy=settings.text("est.proxy"),
    )


def _cacerts(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    with _client(settings, out) as client:
        found = client.cacerts()
    for ignored in found.ignored:
        out.progress(f"ignored {ignored.certificate.subject.rfc4514_string()}: {ignored.reason}")
    certificates = (*found.anchors, *found.intermediates)
    pem = pem_of(certificates)
    data = {
        "anchors": [describe(certificate) for certificate in found.anchors],
        "intermediates": [describe(certificate) for certificate in found.intermediates],
        "ignored": [describe(item.certificate) | {"reason": item.reason} for item in found.ignored],
        "pem": pem.decode(),
    }
    _deliver(options.out, pem, data, out)
    return 0


def _csrattrs(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    with _client(settings, out) as client:
        wishes = client.csrattrs()
    data: dict[str, Any] = {
        "keys": [str(wish) for wish in wishes.keys],
        "signatures": [wish.name for wish in wishes.signatures],
        "mac_address": wishes.wants_mac,
        "channel_binding": wishes.wants_binding,
        "extensions": [wish.oid for wish in wishes.extensions],
        "subject_attributes": list(wishes.subject_types),
        "unknown": [element.oid for element in wishes.unknown],
    }
    text = "\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in data.items() if value) or "no wishes"
    _deliver(options.out, (text + "\n").encode(), data, out)
    return 0


def _enroll(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    spec = inputs.csr_spec(settings)
    with ExitStack() as opened:
        key = _open(settings.require("key.uri"), settings, opened)
        identity = _tls_identity(options, settings, opened)
        client = opened.enter_context(_client(settings, out, identity))
        return _issued(options, client.enroll(key, spec, wait_s=settings.number("est.wait_s")), out)


def _reenroll(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from cryptography import x509

    from device_sdk.model.csr import CsrSpec
    from device_sdk.model.trust import TlsIdentity

    chain = certificates_from(read_file(options.cert), options.cert)
    # subject and names are the certificate's (RFC 7030 section 4.2.2); only the MAC address can be added
    wanted = CsrSpec(x509.Name([]), device=inputs.device_attributes(settings))
    with ExitStack() as opened:
        key = _open(settings.require("key.uri"), settings, opened)
        new_key = _open(options.new_key, settings, opened) if options.new_key else key
        client = opened.enter_context(_client(settings, out, TlsIdentity(chain, key)))
        return _issued(options, client.reenroll(new_key, wanted, wait_s=settings.number("est.wait_s")), out)


def _open(uri: str, settings: Settings, opened: ExitStack) -> Any:
    """Every DeviceKey is also one of cryptography's keys, which no type says; it is closed with the others."""
    from device_sdk.keystores.registry import open_key

    return opened.enter_context(open_key(uri, pin=pin_provider(settings)))


def _tls_identity(options: argparse.Namespace, settings: Settings, opened: ExitStack) -> TlsIdentity | None:
    from device_sdk.model.trust import TlsIdentity

    if not options.tls_cert and not options.tls_key:
        return None
    if not (options.tls_cert and options.tls_key):
        raise ConfigurationError("--tls-cert and --tls-key go together")
    chain = certificates_from(read_file(options.tls_cert), options.tls_cert)
    return TlsIdentity(chain, _open(options.tls_key, settings, opened))


def _issued(options: argparse.Namespace, enrolled: Enrolled, out: Output) -> int:
    for note in enrolled.differences:
        out.say(f"note: {note}")
    pem = pem_of(enrolled.chain)
    data = {"certificate": describe(enrolled.certificate), "pem": pem.decode(), "notes": list(enrolled.differences)}
    _deliver(options.out, pem, data, out)
    return 0


def _deliver(path: str | None, content: bytes, data: dict[str, Any], out: Output) -> None:
    if path:
        write_file(path, content)
        data = data | {"file": path}
    if out.as_json or not path:
        out.data(data, content.decode())
