"""`est enroll` and `est reenroll` by file."""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from device_sdk.cli import inputs
from device_sdk.cli.delivery import issued, keeping_early
from device_sdk.cli.files import OutputFile
from device_sdk.cli.offline.parts import (
    anchors_of,
    answer_of,
    certificate_of,
    deliver_request,
    est_of,
    extra_of,
    key_of,
    refuse_challenges,
    spec_of,
    wishes_of,
)
from device_sdk.cli.output import Output
from device_sdk.cli.settings import Settings
from device_sdk.errors import ConfigurationError


def write_enrolment(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Write POST /simpleenroll."""
    _refuse_other_name(options)
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.offline_out))
        key, spec, wishes = key_of(options, settings, opened), spec_of(options, settings), wishes_of(options, settings)
        return deliver_request(file, est_of(settings).enrolment_request(key, spec, wishes=wishes), out)


def write_renewal(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Write POST /simplereenroll."""
    _refuse_other_name(options)
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.offline_out))
        key, wishes = key_of(options, settings, opened), wishes_of(options, settings)
        certificate, extra = certificate_of(options), extra_of(settings)
        inputs.require_same_names(settings, certificate)
        return deliver_request(file, est_of(settings).renewal_request(key, certificate, extra, wishes=wishes), out)


def read_enrolment(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Deliver the certificate of the answer, as `est enroll` does."""
    return _read(options, settings, out, renewal=False)


def read_renewal(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Deliver the certificate of the answer, as `est reenroll` does."""
    return _read(options, settings, out, renewal=True)


def _read(options: argparse.Namespace, settings: Settings, out: Output, *, renewal: bool) -> int:
    _refuse_other_name(options)
    anchors = anchors_of(settings)
    answer, est, wishes = answer_of(options), est_of(settings), wishes_of(options, settings)
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out))
        key = key_of(options, settings, opened)
        refuse_challenges(settings)
        spec = certificate_of(options) if renewal else spec_of(options, settings)
        with keeping_early(file, out):
            enrolled = est.read_enrolment(answer, key, spec, anchors=anchors, renewal=renewal, wishes=wishes)
        return issued(file, enrolled, out)


def _refuse_other_name(options: argparse.Namespace) -> None:
    if options.change_name:
        raise ConfigurationError("--change-name needs a server that is asked directly")
