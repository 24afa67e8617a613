"""What the operations by file share."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from device_sdk.cli import inputs
from device_sdk.cli.files import OutputFile, read_file
from device_sdk.cli.output import Output
from device_sdk.cli.pem import certificates_from
from device_sdk.cli.settings import BY_NAME, Settings, Source
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509

    from device_sdk.client.est import OfflineEst
    from device_sdk.model.csr import CsrSpec
    from device_sdk.model.trust import Pin
    from device_sdk.protocols.est.offline import OfflineRequest
    from device_sdk.wire.csrattrs import CsrAttributes

_MAX_ANSWER_BYTES = 2 * 1024 * 1024


def est_of(settings: Settings) -> OfflineEst:
    """The service that the request is meant for."""
    from device_sdk.client.est import OfflineEst

    dialect = inputs.compatibility(settings).dialect
    return OfflineEst(settings.require("est.url"), label=settings.text("est.label"), dialect=dialect)


def deliver_request(file: OutputFile, request: OfflineRequest, out: Output, *, secret: bool = False) -> int:
    """Write a request; gives the exit code. One that may hold a `secret` goes to the file, and its body nowhere else."""
    if request.body is not None:
        out.say("note: the request is bound to no connection; a server that demands that will refuse it")
    file.write(request.to_bytes())
    if out.as_json:
        shown = {name: value for name, value in request.to_json().items() if name != "body" or not secret}
        data: dict[str, Any] = {"request": shown, "file": file.path}
        out.data(data, "")
    return 0


def answer_of(options: argparse.Namespace) -> bytes:
    """What was saved of the answer.

    Raises:
        ConfigurationError: the file cannot be read, is too large, or a pipe that nobody writes to.
    """
    return read_file(options.offline_in, limit_bytes=_MAX_ANSWER_BYTES, waits=False)


def trusted(settings: Settings) -> tuple[tuple[x509.Certificate, ...], tuple[Pin, ...]]:
    """What --anchors and --pin say.

    Raises:
        ConfigurationError: nothing, or --implicit.
    """
    explicit, pins, implicit = inputs.trusted(settings, asking=False)
    if implicit:
        raise ConfigurationError(
            "--implicit vouches for a connection, and there is none", hint="give --anchors or --pin"
        )
    return explicit, pins


def anchors_of(settings: Settings) -> tuple[x509.Certificate, ...]:
    """Those of --anchors, which an issued certificate has to lead to.

    Raises:
        ConfigurationError: there are none.
    """
    explicit, _ = trusted(settings)
    if not explicit:
        raise ConfigurationError(
            "the issued certificate is checked against trust anchors",
            hint="get them first (est cacerts --offline-in FILE --pin ... --out anchors.pem), then --anchors anchors.pem",
        )
    return explicit


def wishes_of(options: argparse.Namespace, settings: Settings) -> CsrAttributes | None:
    """What the server wants in a request, as the file of --csrattrs says; None without one.

    Raises:
        ConfigurationError: the file cannot be read, or is too large.
        HttpStatusError, RemoteProtocolError, TruncatedResponseError: it holds no such answer.
    """
    if not options.csrattrs:
        return None
    return est_of(settings).read_csrattrs(read_file(options.csrattrs, limit_bytes=_MAX_ANSWER_BYTES, waits=False))


def key_of(options: argparse.Namespace, settings: Settings, opened: ExitStack) -> Any:
    """The key to certify."""
    return inputs.open_key(options.new_key or settings.require("key.uri"), settings, opened)


def certificate_of(options: argparse.Namespace) -> x509.Certificate:
    """That of --cert."""
    return certificates_from(read_file(options.cert), options.cert)[0]


def spec_of(options: argparse.Namespace, settings: Settings) -> CsrSpec:
    """What to ask for; a device that has a certificate is called the same in the next one."""
    from dataclasses import replace

    refuse_challenges(settings)
    spec = inputs.csr_spec(settings, nameless=True)
    if options.cert and not (list(spec.subject) or spec.san):
        return replace(spec, subject=certificate_of(options).subject)
    return spec


def extra_of(settings: Settings) -> CsrSpec:
    """What goes into a renewal beside subject and names, which it repeats."""
    from cryptography import x509

    from device_sdk.model.csr import CsrSpec

    refuse_challenges(settings)
    return CsrSpec(x509.Name([]), device=inputs.device_attributes(settings), values=inputs.values(settings))


def refuse_challenges(settings: Settings) -> None:
    """A password goes into no file: who says that the server lists it is a file as well, and nobody signed that.

    Raises:
        ConfigurationError: a flag names one.
    """
    named = [BY_NAME[one].flag for one in inputs.CHALLENGES if settings.source(one) is Source.FLAG]
    if named:
        raise ConfigurationError(
            f"{named[0]} needs a server that is asked directly: it is sent only if the server lists it"
        )
