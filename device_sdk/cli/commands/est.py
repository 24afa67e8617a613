"""`device-sdk est`: the operations of EST and of RFC 8295, one at a time and without a state directory."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from device_sdk.cli import inputs, waiting
from device_sdk.cli.certificate_less import SRP, srp_credentials, srp_trust
from device_sdk.cli.commands import (
    est_firmware,
    est_fullcmc,
    est_packages,
    est_serverkeygen,
    est_symmetric_keys,
    est_tamp,
)
from device_sdk.cli.delivery import deliver_ca_certificates, deliver_wishes, keeping_early
from device_sdk.cli.delivery import issued as _issued
from device_sdk.cli.files import OutputFile
from device_sdk.cli.first_trust import bootstrapped, trusted_or_asking
from device_sdk.cli.offline.contract import add_offline
from device_sdk.cli.output import Output
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.client.est import EstClient
    from device_sdk.model.csr import CsrSpec
    from device_sdk.model.trust import TlsIdentity

_PACKAGES: dict[str, Any] = dict.fromkeys(("pal", "crls", "eecerts"), est_packages)
_PACKAGES |= {"symmetrickeys": est_symmetric_keys, "firmware": est_firmware}
_OF_THEIR_OWN = {"fullcmc": est_fullcmc, "serverkeygen": est_serverkeygen, **_PACKAGES}
_KEY = ("key.uri", "key.pin_file", "key.pin_fd", "key.allow_imported", "certificates_dir")


def add_arguments(parser: argparse.ArgumentParser, _name: str, common: argparse.ArgumentParser) -> None:
    """Describe the operations."""
    operations = parser.add_subparsers(dest="operation", required=True, metavar="OPERATION")
    for name, run, words in (
        ("cacerts", _cacerts, "fetch the CA certificates (RFC 7030 section 4.1)"),
        ("csrattrs", _csrattrs, "ask what the server wants in a request (section 4.5)"),
        ("enroll", _enroll, "get a certificate for --key (section 4.2.1)"),
        ("reenroll", _reenroll, "renew the certificate --cert, whose key is --key (section 4.2.2)"),
        (
            "serverkeygen",
            est_serverkeygen.run,
            "get a key that the server generates, and its certificate (section 4.4)",
        ),
        ("fullcmc", est_fullcmc.run, "enrol, renew, revoke or ask again by Full CMC (section 4.3)"),
        ("pal", est_packages.list_packages, "ask which packages the server has for this client (RFC 8295 section 2)"),
        ("crls", est_packages.crls, "fetch the revocation lists (RFC 8295 section 4)"),
        ("eecerts", est_packages.peers, "fetch certificates of peers (RFC 8295 section 3)"),
        ("symmetrickeys", est_symmetric_keys.run, "fetch symmetric keys and store them (RFC 8295 section 5)"),
        ("firmware", est_firmware.run, "fetch, verify and install firmware (RFC 8295 section 6, RFC 4108)"),
    ):
        description = words[:1].upper() + words[1:] + "."
        operation = operations.add_parser(name, help=words, description=description, parents=[common])
        certifying = name not in ("cacerts", "csrattrs", *_PACKAGES)
        bending = [one for one in inputs.COMPATIBILITY if certifying or one != "est.after_202"]
        add_settings(operation, *inputs.SERVER, *bending, *inputs.LOGIN, *_KEY, *waiting.WAITING)
        operation.add_argument("--out", metavar="FILE", help="write the result here instead of stdout")
        if name in _PACKAGES:
            operation.set_defaults(run=run)
        else:
            add_offline(operation, name, run)
        if name != "reenroll":
            add_settings(operation, *SRP)
        if name in _OF_THEIR_OWN:
            _OF_THEIR_OWN[name].add_arguments(operation)
        else:
            _add_pair(operation, name)
    est_tamp.add_operation(operations, common)


def _add_pair(operation: argparse.ArgumentParser, name: str) -> None:
    renewing = name == "reenroll"
    words = "the current certificate, with its chain" if renewing else "certificate for TLS; its key is --key"
    operation.add_argument("--cert", metavar="FILE", required=renewing, help=words)
    if name in ("enroll", "reenroll"):
        add_settings(operation, *inputs.IDENTITY, *inputs.CHALLENGES)
        which: Any = operation.add_mutually_exclusive_group(required=True) if renewing else operation
        which.add_argument("--new-key", metavar="URI", help="certify this key instead of --key")
        if renewing:
            which.add_argument("--same-key", action="store_true", help="certify --key again, on purpose")
        operation.add_argument(
            "--change-name",
            action="store_true",
            help="ask for a certificate of another name, that of --subject and --san, than that of the certificate for TLS",
        )
    if name == "enroll":
        operation.add_argument("--tls-cert", metavar="FILE", help="certificate for TLS whose key is not --key")
        operation.add_argument("--tls-key", metavar="URI", help="the key of --tls-cert")


def _client(settings: Settings, out: Output, identity: TlsIdentity | None = None) -> EstClient:
    """A client as the settings want it; after bootstrap, where they name a fingerprint or a person accepts one.

    Raises:
        ConfigurationError: see inputs.trusted.
        FingerprintMismatchError: no CA certificate of the server has a pinned fingerprint, or was accepted.
    """
    from device_sdk.client.est import EstClient
    from device_sdk.model.trust import ServerTrust

    url, srp = settings.require("est.url"), srp_credentials(settings, identified=identity is not None)
    explicit, pins, implicit, confirm = ((), (), False, None) if srp else trusted_or_asking(settings, out)
    trust = srp_trust(settings) if srp else ServerTrust(explicit, implicit)
    common: dict[str, Any] = {
        "label": settings.text("est.label"),
        "identity": identity,
        "credentials": inputs.credentials(settings, needed=identity is None),
        "timeouts": inputs.timeouts(settings),
        "proxy": settings.text("est.proxy"),
        "compatibility": inputs.compatibility(settings),
        "clock": waiting.clock(out),
        "redirects": waiting.redirects(settings, out),
        "retry": waiting.retry(settings),
    }
    if pins or confirm:
        return bootstrapped(settings, out, pins, confirm, **common)
    return EstClient(url, trust, srp=srp, **common)


def _pair(options: argparse.Namespace, settings: Settings, opened: ExitStack) -> TlsIdentity | None:
    if not options.cert:
        return None
    return inputs.tls_identity(options.cert, settings.require("key.uri"), settings, opened)


def _cacerts(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out))
        client = opened.enter_context(_client(settings, out, _pair(options, settings, opened)))
        found = client.cacerts(wait_s=inputs.wait(settings), progress=waiting.patience(out))
        return deliver_ca_certificates(file, found, out)


def _csrattrs(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out))
        client = opened.enter_context(_client(settings, out, _pair(options, settings, opened)))
        wishes = client.csrattrs(wait_s=inputs.wait(settings), progress=waiting.patience(out))
        return deliver_wishes(file, wishes, out)


def _enroll(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    tls_cert, tls_key = _enrolment_pair(options, settings)
    inputs.require_wait(settings)
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out))
        key = inputs.open_key(options.new_key or settings.require("key.uri"), settings, opened)
        identity = inputs.tls_identity(tls_cert, tls_key, settings, opened) if tls_cert else None
        spec = _enrolment_spec(settings, identity, change_name=options.change_name)
        client = opened.enter_context(_client(settings, out, identity))
        with keeping_early(file, out):
            enrolled = client.enroll(key, spec, wait_s=inputs.wait(settings), progress=waiting.patience(out))
        return _issued(file, enrolled, out)


def _enrolment_pair(options: argparse.Namespace, settings: Settings) -> tuple[str | None, str]:
    """The certificate for TLS and the URI of its key: --cert with --key, or --tls-cert with --tls-key."""
    if bool(options.tls_cert) != bool(options.tls_key):
        raise ConfigurationError("--tls-cert and --tls-key go together")
    if options.tls_cert and (options.cert or options.new_key):
        raise ConfigurationError("--tls-cert does not go together with --cert or --new-key", hint="give one pair")
    if options.change_name and not (options.cert or options.tls_cert):
        raise ConfigurationError("--change-name needs a certificate whose name is to change", hint="give --cert FILE")
    if options.new_key and not options.cert:
        raise ConfigurationError("--new-key needs --cert, the certificate of --key", hint="or give the key as --key")
    return options.tls_cert or options.cert, options.tls_key or settings.require("key.uri")


def _enrolment_spec(settings: Settings, identity: TlsIdentity | None, *, change_name: bool) -> CsrSpec:
    """What the settings say; a device that has a certificate is called the same in the next one."""
    from dataclasses import replace

    spec = inputs.with_challenges(inputs.csr_spec(settings, nameless=True), settings)
    if identity is None or (not change_name and (list(spec.subject) or spec.san)):
        return spec
    leaf = identity.chain[0]
    if not change_name:
        return replace(spec, subject=leaf.subject)
    return replace(spec, subject=leaf.subject, san=inputs.names_of(leaf), new_name=inputs.new_name(settings, leaf))


def _reenroll(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from dataclasses import replace

    from cryptography import x509

    from device_sdk.model.csr import CsrSpec

    inputs.require_wait(settings)
    # subject and names are the certificate's (RFC 7030 section 4.2.2); only the MAC address can be added
    device, values = inputs.device_attributes(settings), inputs.values(settings)
    wanted = inputs.with_challenges(CsrSpec(x509.Name([]), device=device, values=values), settings)
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out))
        identity = inputs.tls_identity(options.cert, settings.require("key.uri"), settings, opened)
        if options.change_name:
            wanted = replace(wanted, new_name=inputs.new_name(settings, identity.chain[0]))
        else:
            inputs.require_same_names(settings, identity.chain[0])
        new_key = inputs.open_key(options.new_key, settings, opened) if options.new_key else identity.key
        client = opened.enter_context(_client(settings, out, identity))
        with keeping_early(file, out):
            renewed = client.reenroll(new_key, wanted, wait_s=inputs.wait(settings), progress=waiting.patience(out))
        return _issued(file, renewed, out)
