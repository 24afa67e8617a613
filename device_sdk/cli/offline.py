"""`device-sdk est ... --offline-out` and `--offline-in`: the request goes to a file, the answer comes from one."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

from device_sdk.cli import inputs
from device_sdk.cli.certificate_less import SRP
from device_sdk.cli.delivery import deliver, issued, keeping_early
from device_sdk.cli.files import OutputFile, read_file
from device_sdk.cli.output import Output
from device_sdk.cli.pem import certificates_from, describe, pem_of
from device_sdk.cli.settings import BY_NAME, Settings, Source
from device_sdk.cli.waiting import WAITING
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.client.est.offline import OfflineEst
    from device_sdk.model.csr import CsrSpec
    from device_sdk.protocols.est.offline import OfflineRequest

Run: TypeAlias = Callable[[argparse.Namespace, Settings, Output], int]
OPERATIONS = ("cacerts", "enroll", "reenroll")


def add_offline(operation: argparse.ArgumentParser, name: str, online: Run | None) -> None:
    """Give an operation its two flags, and what is done if one of them is there."""
    if name not in OPERATIONS or online is None:
        return
    ways = operation.add_mutually_exclusive_group()
    ways.add_argument("--offline-out", metavar="FILE", help="write the request to this file instead of sending it")
    ways.add_argument(
        "--offline-in", metavar="FILE", help="read the answer from this file: as curl -i saves it, or its body"
    )

    def run(options: argparse.Namespace, settings: Settings, out: Output) -> int:
        if options.offline_out or options.offline_in:
            _refuse_connecting(options, settings)
        if options.offline_out:
            return _write(name, options, settings, out)
        return _read(name, options, settings, out) if options.offline_in else online(options, settings, out)

    operation.set_defaults(run=run)


def _refuse_connecting(options: argparse.Namespace, settings: Settings) -> None:
    """What is about a connection would be ignored in silence, a password above all; configurations may have it."""
    names = (*inputs.LOGIN, *inputs.COMPATIBILITY, *WAITING, *SRP, "est.timeout_s", "est.proxy")
    given = [BY_NAME[name].flag for name in names if settings.source(name) is Source.FLAG]
    given += ["--tls-cert"] if getattr(options, "tls_cert", None) else []
    if given:
        raise ConfigurationError(
            f"{given[0]} is for a connection, and there is none: whoever carries the request connects and authenticates",
            hint="leave it out",
        )


def _est(settings: Settings) -> OfflineEst:
    from device_sdk.client.est.offline import OfflineEst

    return OfflineEst(settings.require("est.url"), label=settings.text("est.label"))


def _write(name: str, options: argparse.Namespace, settings: Settings, out: Output) -> int:
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.offline_out))
        request = _request(name, options, settings, opened)
        if request.body is not None:
            out.say("note: the request is bound to no connection; a server that demands that will refuse it")
        file.write(request.to_bytes())
        data: dict[str, Any] = {"request": request.to_json(), "file": options.offline_out}
        if out.as_json:
            out.data(data, "")
    return 0


def _request(name: str, options: argparse.Namespace, settings: Settings, opened: ExitStack) -> OfflineRequest:
    est = _est(settings)
    if name == "cacerts":
        return est.cacerts_request()
    key, spec = _key(options, settings, opened), _spec(name, options, settings)
    if name == "reenroll":
        return est.renewal_request(key, _certificate(options), spec)
    return est.enrolment_request(key, spec)


def _read(name: str, options: argparse.Namespace, settings: Settings, out: Output) -> int:
    explicit, pins, implicit = inputs.trusted(settings, asking=False)
    if implicit:
        raise ConfigurationError(
            "--implicit vouches for a connection, and there is none", hint="give --anchors or --pin"
        )
    answer = read_file(options.offline_in, limit_bytes=2 * 1024 * 1024)
    est = _est(settings)
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out))
        if name == "cacerts":
            found = est.read_cacerts(answer, pins=pins, anchors=explicit)
            pem = pem_of((*found.anchors, *found.intermediates))
            data = {
                "anchors": [describe(certificate) for certificate in found.anchors],
                "intermediates": [describe(certificate) for certificate in found.intermediates],
                "ignored": [describe(item.certificate) | {"reason": item.reason} for item in found.ignored],
                "pem": pem.decode(),
            }
            return deliver(file, pem, data, out)
        if not explicit:
            raise ConfigurationError(
                "the issued certificate is checked against trust anchors",
                hint="get them first (est cacerts --offline-in FILE --pin ... --out anchors.pem), then --anchors anchors.pem",
            )
        key, renewing = _key(options, settings, opened), name == "reenroll"
        spec = _certificate(options) if renewing else _spec(name, options, settings)
        with keeping_early(file, out):
            enrolled = est.read_enrolment(answer, key, spec, anchors=explicit, renewal=renewing)
        return issued(file, enrolled, out)


def _key(options: argparse.Namespace, settings: Settings, opened: ExitStack) -> Any:
    return inputs.open_key(options.new_key or settings.require("key.uri"), settings, opened)


def _certificate(options: argparse.Namespace) -> Any:
    return certificates_from(read_file(options.cert), options.cert)[0]


def _spec(name: str, options: argparse.Namespace, settings: Settings) -> CsrSpec:
    from dataclasses import replace

    from cryptography import x509

    from device_sdk.model.csr import CsrSpec

    named = [BY_NAME[one].flag for one in inputs.CHALLENGES if settings.source(one) is Source.FLAG]
    if named:
        raise ConfigurationError(
            f"{named[0]} needs a server that is asked directly: it is sent only if the server lists it"
        )
    if options.change_name:
        raise ConfigurationError("--change-name needs a server that is asked directly")
    if name == "reenroll":
        return CsrSpec(x509.Name([]), device=inputs.device_attributes(settings))
    spec = inputs.csr_spec(settings, nameless=True)
    if options.cert and not (list(spec.subject) or spec.san):
        return replace(spec, subject=_certificate(options).subject)
    return spec
