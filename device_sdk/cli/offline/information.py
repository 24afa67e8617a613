"""`est cacerts` and `est csrattrs` by file."""

from __future__ import annotations

import argparse

from device_sdk.cli.delivery import deliver_ca_certificates, deliver_wishes
from device_sdk.cli.files import OutputFile
from device_sdk.cli.inputs import TRUST
from device_sdk.cli.offline.parts import answer_of, deliver_request, est_of, trusted
from device_sdk.cli.output import Output
from device_sdk.cli.settings import BY_NAME, Settings, Source
from device_sdk.errors import ConfigurationError


def write_cacerts(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Write GET /cacerts."""
    with OutputFile(options.offline_out) as file:
        return deliver_request(file, est_of(settings).cacerts_request(), out)


def read_cacerts(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Deliver the CA certificates of the answer, as `est cacerts` does."""
    explicit, pins = trusted(settings)
    answer, est = answer_of(options), est_of(settings)
    with OutputFile(options.out) as file:
        return deliver_ca_certificates(file, est.read_cacerts(answer, pins=pins, anchors=explicit), out)


def write_csrattrs(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Write GET /csrattrs."""
    with OutputFile(options.offline_out) as file:
        return deliver_request(file, est_of(settings).csrattrs_request(), out)


def read_csrattrs(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Deliver the wishes of the answer, as `est csrattrs` does."""
    vouching = [BY_NAME[name].flag for name in TRUST if settings.source(name) is Source.FLAG]
    if vouching:
        raise ConfigurationError(f"nobody signs this answer: {vouching[0]} cannot vouch for it", hint="leave it out")
    answer, est = answer_of(options), est_of(settings)
    with OutputFile(options.out) as file:
        out.say("note: nobody signs this answer; whoever carried it may have changed it")
        return deliver_wishes(file, est.read_csrattrs(answer), out)
